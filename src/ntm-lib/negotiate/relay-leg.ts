import { type Endpoint, sameEndpoint } from '../addr/endpoint.ts'
import { sameVia, type Via } from '../addr/via.ts'
import { after, type Instant, type Millis, millis, sooner } from '../base/time.ts'
import type { NoticeReason } from '../wire/relay-leg.ts'
import { TIMERS } from './timers.ts'

/** One way to the relay: which of its endpoints, out of which of our ways; via null: the kernel chooses. */
export type LegPlace = { readonly endpoint: Endpoint; readonly via: Via | null }

/** Where the relay knows us to be, as far as we know: proven by a Challenge that came back. */
export type LegBound = { readonly place: LegPlace; readonly until: Instant }

/**
 * One end's leg at a relay (`docs/wire.md`, relay leg; SEED 002 §3.3): who may hear what is forwarded. A leg may be bound and
 * bind anew at the same time: the relay forwards to the old address until the new one is confirmed.
 */
export type Leg = {
  /** Every way to the relay that we have now; only endpoints of a family that we have. */
  readonly places: readonly LegPlace[]
  /** The last one used; it never falls for one path, whatever happens to the leg. */
  readonly seq: number
  readonly bound: LegBound | null
  readonly binding: Binding | null
  /** The answer to the newest Challenge: it is not acknowledged, so it goes more than once. */
  readonly confirming: Confirming | null
  /** When a bound leg binds again. */
  readonly refreshAt: Instant | null
  /** Until when no Notice is heeded: a relay says one in a second, and whoever recorded one can say it more often. */
  readonly deafUntil: Instant | null
}

export type Binding = {
  /** Where the last Bind went, all at once. */
  readonly to: readonly LegPlace[]
  /** First `seq` of this attempt: an older Challenge is of another. */
  readonly firstSeq: number
  readonly copies: number
  readonly resendAt: Instant
}

export type Confirming = {
  readonly seq: number
  readonly cookie: Uint8Array
  readonly to: LegPlace
  readonly id: number
  readonly copies: number
  readonly at: Instant
}

export type LegInput =
  /** Bind now, in all these ways at once; also when bound already. */
  | { readonly in: 'bind'; readonly places: readonly LegPlace[] }
  | { readonly in: 'clock' }
  /** A genuine Challenge; `id` is the Path ID it carries. */
  | {
      readonly in: 'challenge'
      readonly from: Endpoint
      readonly id: number
      readonly seq: number
      readonly cookie: Uint8Array
    }
  /** A genuine Notice. `seq`: the last one the relay accepted on this leg. */
  | { readonly in: 'notice'; readonly reason: NoticeReason; readonly seq: number }

export type LegOutput =
  /** One Bind with this `seq` to each. */
  | { readonly out: 'bind'; readonly to: readonly LegPlace[]; readonly seq: number }
  | { readonly out: 'confirm'; readonly confirm: Confirming }
  /** The relay heard us here; said when it is news. */
  | { readonly out: 'bound'; readonly place: LegPlace }
  /** The relay has not answered for long: nothing comes through it any more. */
  | { readonly out: 'lost' }

export type LegStep = { readonly leg: Leg; readonly out: readonly LegOutput[] }

/** Not bound and not trying to. */
export const noLeg = (seq = 0): Leg => ({
  places: [],
  seq,
  bound: null,
  binding: null,
  confirming: null,
  refreshAt: null,
  deafUntil: null,
})

/** `unbound`, `binding` (not usable but for what follows a Bind) or `bound`. */
export const legState = (leg: Leg): 'unbound' | 'binding' | 'bound' =>
  leg.bound !== null ? 'bound' : leg.binding !== null ? 'binding' : 'unbound'

/** Where datagrams for the peer go now: what follows a Bind is forwarded as if bound. */
export function legPlaces(leg: Leg): readonly LegPlace[] {
  if (leg.bound !== null && leg.places.some((p) => samePlace(p, leg.bound?.place ?? null))) return [leg.bound.place]
  return leg.binding?.to ?? (leg.bound === null ? [] : [leg.bound.place])
}

export const samePlace = (a: LegPlace, b: LegPlace | null): boolean =>
  b !== null && sameEndpoint(a.endpoint, b.endpoint) && sameVia(a.via, b.via)

export const legDue = (leg: Leg): Instant | null =>
  sooner(
    sooner(leg.binding?.resendAt ?? null, leg.confirming?.at ?? null),
    sooner(leg.refreshAt, leg.bound?.until ?? null),
  )

/** Pure. */
export function legStep(leg: Leg, input: LegInput, now: Instant): LegStep {
  switch (input.in) {
    case 'bind':
      return bind({ ...leg, places: input.places }, now)
    case 'clock':
      return onClock(leg, now)
    case 'challenge':
      return onChallenge(leg, input, now)
    case 'notice':
      return onNotice(leg, input.reason, input.seq, now)
    default:
      return input satisfies never
  }
}

/** A first Bind, in every way at once, all with one `seq`: whichever arrives first is the leg's. */
function bind(leg: Leg, now: Instant): LegStep {
  const to = leg.places
  if (to.length === 0) return { leg: { ...leg, binding: null, confirming: null, refreshAt: null }, out: [] }
  const seq = leg.seq + 1
  const binding: Binding = { to, firstSeq: seq, copies: 1, resendAt: after(now, wait(1)) }
  return { leg: { ...leg, seq, binding, refreshAt: null }, out: [{ out: 'bind', to, seq }] }
}

function onClock(start: Leg, now: Instant): LegStep {
  let leg = start
  const out: LegOutput[] = []
  if (leg.bound !== null && leg.bound.until <= now) {
    leg = { ...leg, bound: null }
    out.push({ out: 'lost' })
  }
  const { confirming, binding } = leg
  if (confirming !== null && confirming.at <= now) {
    out.push({ out: 'confirm', confirm: confirming })
    const copies = confirming.copies + 1
    const at = after(now, wait(copies))
    leg = { ...leg, confirming: copies < CONFIRM_COPIES ? { ...confirming, copies, at } : null }
  }
  if (binding !== null && binding.resendAt <= now) {
    const seq = leg.seq + 1
    const copies = binding.copies + 1
    const to = alternately(leg, copies)
    leg = { ...leg, seq, binding: { ...binding, to, copies, resendAt: after(now, wait(copies)) } }
    out.push({ out: 'bind', to, seq })
  } else if (binding === null && leg.refreshAt !== null && leg.refreshAt <= now) {
    const step = bind(leg, now)
    leg = step.leg
    out.push(...step.out)
  }
  return { leg, out }
}

function onChallenge(leg: Leg, c: Extract<LegInput, { in: 'challenge' }>, now: Instant): LegStep {
  const { from, id, seq, cookie } = c
  const place = leg.places.find((p) => sameEndpoint(p.endpoint, from))
  // Anything else was overtaken by a newer Bind, or is no answer of this relay's.
  const oldest = leg.binding?.firstSeq ?? leg.seq
  if (place === undefined || seq > leg.seq || seq < oldest) return { leg, out: [] }
  const confirm: Confirming = { seq, cookie, to: place, id, copies: 1, at: after(now, wait(1)) }
  const bound: LegBound = { place, until: after(now, TIMERS.legExpiry.millis) }
  const refreshAt = after(now, TIMERS.bindRefresh.millis)
  const next: Leg = { ...leg, bound, binding: null, confirming: confirm, refreshAt }
  const out: LegOutput[] = [{ out: 'confirm', confirm }]
  if (!samePlace(place, leg.bound?.place ?? null)) out.push({ out: 'bound', place })
  return { leg: next, out }
}

/** `unbound`: it forgot us, or did not hear our Confirm. */
function onNotice(start: Leg, reason: NoticeReason, seq: number, now: Instant): LegStep {
  if (start.deafUntil !== null && now < start.deafUntil) return { leg: start, out: [] }
  const leg: Leg = { ...start, deafUntil: after(now, NOTICE_PACE) }
  if (reason === 'expiring') return leg.binding === null ? bind(leg, now) : { leg: start, out: [] }
  if (reason !== 'unbound') return { leg: start, out: [] }
  if (leg.binding !== null && seq === leg.seq) return { leg: start, out: [] }
  if (leg.confirming?.seq === seq) return { leg, out: [{ out: 'confirm', confirm: leg.confirming }] }
  return bind({ ...leg, bound: null, confirming: null }, now)
}

/** From the third copy on one way at a time: what always arrives first may be a way that never answers. */
function alternately({ places }: Leg, copies: number): readonly LegPlace[] {
  const one = places[(copies - TOGETHER_COPIES - 1) % Math.max(1, places.length)]
  return copies <= TOGETHER_COPIES || one === undefined ? places : [one]
}

function wait(copies: number): Millis {
  const timer = WAITS[copies - 1]
  return (timer ?? (copies <= QUICK_COPIES ? TIMERS.tunnelRequest4 : TIMERS.bindSlow)).millis
}

const WAITS = [TIMERS.tunnelRequest1, TIMERS.tunnelRequest2, TIMERS.tunnelRequest3, TIMERS.tunnelRequest4]
/** Copies of one Bind that go to every endpoint. */
const TOGETHER_COPIES = 2
/** After these the relay is given up, and asked again slowly. */
const QUICK_COPIES = 6
/** Copies of a Confirm: 48 bytes each. */
const CONFIRM_COPIES = 3
/** A little less than the second between two of them, which a jittering network may shorten. */
const NOTICE_PACE = millis(800)
