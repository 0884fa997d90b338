import { type Endpoint, sameEndpoint } from '../addr/endpoint.ts'
import type { Via } from '../addr/via.ts'
import { after, between, type Instant, millis, sooner } from '../base/time.ts'
import { LIMITS, TIMERS } from './timers.ts'
import {
  ask,
  type Copy,
  fresh,
  isAnswer,
  type Known,
  MOST_COPIES,
  nextAt,
  type Offer,
  type Seeds,
  sameWay,
  silence,
  unused,
  type WayTo,
} from './way.ts'

/**
 * The ways of one path (SEED 002 §3.3; the checks are those of RFC 8445, sealed). `none`: content. `better`: the way in use works, ways of
 * a lower rank are looked for. `any`: the way in use is thought dead, whatever answers first is taken.
 */
export type Ways = {
  readonly list: readonly Known[]
  /** What datagrams take; always in the list. */
  readonly used: WayTo
  readonly aim: 'none' | 'better' | 'any'
  /** Whether it is us who take a better kind of way; the other end waits, or the two would take turns. */
  readonly leads: boolean
  /** Why any way would do; in doubt the way in use is given time to answer. */
  readonly why: 'silence' | 'moved' | 'doubt'
  /** When it began, and when it ends without one. */
  readonly seekingSince: Instant | null
  readonly until: Instant | null
  /** Rounds of looking for something better that found nothing, and when the next one is. */
  readonly rounds: number
  readonly roundAt: Instant | null
  /** When we last took a way by ourselves; null when the peer chose last. */
  readonly tookAt: Instant | null
}

export type WaysStep = {
  readonly ways: Ways
  readonly send: readonly Copy[]
  /** Use this one from now on. */
  readonly take: Known | null
}

/** On one way and content. */
export const onWay = (used: Offer, leads: boolean): Ways => ({
  list: [{ ...used, checking: null, worked: null }],
  used,
  aim: 'none',
  leads,
  why: 'silence',
  seekingSince: null,
  until: null,
  rounds: 0,
  roundAt: null,
  tookAt: null,
})

export const find = (w: Ways, way: WayTo): Known | null => w.list.find((k) => sameWay(k, way)) ?? null
/** The rank of the way in use; out of a way of ours that has gone it is behind all others. */
export const usedRank = (w: Ways): number => find(w, w.used)?.rank ?? Number.POSITIVE_INFINITY

/** These are the ways there may be now. What is known of those that stay is kept, also of the one in use. */
export function offer(w: Ways, offers: readonly Offer[]): Ways {
  const list: Known[] = []
  for (const o of offers) {
    if (list.length >= LIMITS.waysPerPath || list.some((k) => sameWay(k, o))) continue
    list.push({ checking: null, worked: null, ...find(w, o), ...o })
  }
  if (!list.some((k) => sameWay(k, w.used))) {
    list.push({ checking: null, worked: null, ...find(w, w.used), ...w.used, rank: LOST_RANK })
  }
  return { ...w, list }
}

/** The way in use is thought dead: all of them at once. `until`: when that ends. */
export function seekAny(w: Ways, why: Ways['why'], seeds: Seeds, now: Instant): Ways {
  // After a move the relay is settled on as well: whoever hears only that need not ask us first.
  const list = w.list.map((k) => {
    if (k.checking?.use === true) return k
    return { ...k, checking: { ...fresh(seeds, now), use: why === 'moved' && k.kind === 'relay' } }
  })
  return {
    ...w,
    list,
    aim: 'any',
    why,
    seekingSince: now,
    until: after(now, TIMERS.astrayGiveUp.millis),
    roundAt: null,
  }
}

/** The way in use works, better ones are asked for; none there: content. */
export function seekBetter(w: Ways, seeds: Seeds, now: Instant): Ways {
  const than = usedRank(w)
  const better = w.list.some((k) => k.rank < than)
  const list = w.list.map((k) =>
    k.rank < than && k.checking?.dueAt == null ? { ...k, checking: fresh(seeds, now) } : k,
  )
  return better
    ? { ...w, list, aim: 'better', until: null, rounds: 0, roundAt: null }
    : { ...w, aim: 'none', until: null, rounds: 0, roundAt: null }
}

/** Asks on all ways but the one in use, and leaves everything as it is: a peer that comes from there needs no other proof. */
export const peek = (w: Ways, seeds: Seeds, now: Instant): Ways => ({
  ...w,
  list: w.list.map((k) =>
    sameWay(k, w.used) || k.checking?.dueAt != null ? k : { ...k, checking: fresh(seeds, now) },
  ),
})

/** Nothing is wrong with the way in use after all. */
export const content = (w: Ways): Ways => ({
  ...w,
  list: w.list.map((k) =>
    k.checking === null || k.checking.use ? k : { ...k, checking: { ...k.checking, dueAt: null } },
  ),
  aim: 'none',
  until: null,
})

/** We take `way`: said with `use` until the peer has heard it. */
export function taken(w: Ways, way: Offer, seeds: Seeds, now: Instant): Ways {
  const known: Known = { checking: null, worked: null, ...find(w, way), ...way }
  const using: Known = { ...known, checking: { ...fresh(seeds, now), use: true } }
  const list = [...w.list.filter((k) => !sameWay(k, way)).map(unused), using]
  return settle({ ...w, list, used: { via: way.via, to: way.to, kind: way.kind }, tookAt: now })
}

/** The peer speaks from there now, and we follow. */
export function followed(w: Ways, way: Offer): Ways {
  const known: Known = { checking: null, worked: null, ...find(w, way), ...way }
  const list = [...w.list.filter((k) => !sameWay(k, way)).map(unused), known]
  return settle({ ...w, list, used: { via: way.via, to: way.to, kind: way.kind }, tookAt: null })
}

/** A check came from there on this way: it is asked back, once per question. */
export function askedOn(w: Ways, way: Offer, seeds: Seeds, now: Instant): WaysStep {
  const known: Known = find(w, way) ?? { ...way, checking: null, worked: null }
  if (known.worked !== null && between(known.worked.at, now) < TIMERS.wayFresh.millis)
    return { ways: w, send: [], take: null }
  const asking = known.checking !== null && known.checking.sentAt.length < MOST_COPIES ? known.checking : null
  const checking = asking ?? { ...fresh(seeds, now), dueAt: null }
  const { asked, copy } = ask({ ...known, checking }, checking, checking.dueAt, now)
  return { ways: put(w, asked), send: [copy], take: null }
}

/** An answer with this nonce came from `from`. */
export function answered(
  w: Ways,
  nonce: Uint8Array,
  from: Endpoint,
  now: Instant,
): WaysStep & { readonly way: Known | null } {
  const way = w.list.find((k) => sameEndpoint(k.to, from) && isAnswer(k.checking, nonce)) ?? null
  const sentAt = way?.checking?.sentAt[nonce[7] ?? 0]
  if (way === null || sentAt === undefined) return { ways: w, send: [], take: null, way: null }
  const worked = { since: way.worked?.since ?? now, at: now, rtt: between(sentAt, now) }
  const checking = way.checking === null ? null : { ...way.checking, dueAt: null, use: false }
  const known = { ...way, worked, checking }
  let ways = put(w, known)
  // What was asked for has been heard there: the way in use is as alive as any.
  if (ways.aim === 'any' && sameWay(known, ways.used)) ways = settle(ways)
  return { ...choose(ways, now), way: known }
}

/** Copies that are due, rounds that begin, and a choice that was waited with. */
export function waysStep(w: Ways, seeds: Seeds, now: Instant): WaysStep {
  let ways = w
  if (ways.aim === 'any' && ways.until !== null && now >= ways.until) ways = content(ways)
  if (ways.aim === 'better' && ways.roundAt !== null && now >= ways.roundAt) {
    const rounds = ways.rounds + 1
    ways = { ...seekBetter(ways, seeds, now), rounds }
  }
  const send: Copy[] = []
  const list = ways.list.map((k) => {
    const { checking } = k
    if (checking === null || checking.dueAt === null || now < checking.dueAt) return k
    const { asked, copy } = ask(k, checking, nextAt(checking, ways.aim === 'any', now), now)
    send.push(copy)
    return asked
  })
  ways = { ...ways, list }
  if (
    ways.aim === 'better' &&
    ways.roundAt === null &&
    !list.some((k) => k.rank < usedRank(ways) && k.checking?.dueAt != null)
  ) {
    const wait = Math.min(TIMERS.checkRound.millis * 2 ** ways.rounds, TIMERS.checkRoundMost.millis)
    ways = { ...ways, roundAt: after(now, millis(wait)) }
  }
  const { take, ways: chosen } = choose(ways, now)
  return { ways: chosen, send, take }
}

export function waysDue(w: Ways): Instant | null {
  let first = w.aim === 'any' ? w.until : w.aim === 'better' ? w.roundAt : null
  for (const k of w.list) if (k.checking !== null) first = sooner(first, k.checking.dueAt)
  const { best, at } = candidate(w)
  return best === null ? first : sooner(first, at)
}

/** Out of which of ours the peer answered at `to`, if it did so lately. */
export function answeredOut(w: Ways, to: Endpoint, now: Instant): Via | null {
  const isFresh = (k: Known): boolean => k.worked !== null && between(k.worked.at, now) < TIMERS.wayFresh.millis
  return w.list.find((k) => k.via !== null && sameEndpoint(k.to, to) && isFresh(k))?.via ?? null
}

/** Whether the peer answered us at `to` so lately that it needs no proof that it is there. */
export const provenAt = (w: Ways, to: Endpoint, now: Instant): boolean =>
  w.list.some((k) => k.worked !== null && sameEndpoint(k.to, to) && between(k.worked.at, now) < TIMERS.wayFresh.millis)

/** The way on which `to` was asked last: where a datagram from there came in, as far as can be told. */
export function lastAsked(w: Ways, to: Endpoint): Known | null {
  let last: Known | null = null
  let at = Number.NEGATIVE_INFINITY
  for (const k of w.list) {
    const asked = k.checking?.sentAt.at(-1)
    if (asked === undefined || asked < at || !sameEndpoint(k.to, to)) continue
    last = k
    at = asked
  }
  return last
}

function choose(w: Ways, now: Instant): WaysStep {
  const { best, at } = candidate(w)
  return { ways: w, send: [], take: best !== null && at <= now ? best : null }
}

/** The best way that answered lately and is better than what is used, and from when on it may be taken. */
function candidate(w: Ways): { readonly best: Known | null; readonly at: Instant } {
  const none = { best: null, at: 0 as Instant }
  if (w.aim === 'none') return none
  const than = w.aim === 'any' ? Number.POSITIVE_INFINITY : usedRank(w)
  let best: Known | null = null
  for (const k of w.list) {
    if (k.worked === null || k.rank >= than || sameWay(k, w.used) || k.checking === null) continue
    // An answer to an older question says nothing about now.
    if (k.worked.at < (k.checking.sentAt[0] ?? Number.POSITIVE_INFINITY)) continue
    // Of equal ones the one to where the peer is: who chose to speak from there is not left for where it was.
    const isThere = k.rank === best?.rank && sameEndpoint(k.to, w.used.to)
    if (best === null || k.rank < best.rank || isThere) best = k
  }
  if (best === null || best.worked === null) return none
  // Among ways of one kind each end chooses for itself: they differ in the way out of its own.
  if (w.aim === 'any' && w.why === 'doubt') {
    const since = w.seekingSince ?? best.worked.at
    return { best, at: Math.max(best.worked.at, after(since, TIMERS.leftAlone.millis)) as Instant }
  }
  const waits = w.aim === 'better' && !w.leads && best.kind !== w.used.kind
  return { best, at: waits ? after(best.worked.since, TIMERS.wayDeferred.millis) : best.worked.at }
}

/** After a change of way: what is better is still looked for, the rest has no purpose any more. */
function settle(w: Ways): Ways {
  const than = usedRank(w)
  const list = w.list.map((k) => {
    if (k.checking === null || sameWay(k, w.used)) return k
    return k.rank < than ? unused(k) : silence(k, k.checking)
  })
  const better = list.some((k) => k.rank < than)
  return { ...w, list, aim: better ? 'better' : 'none', until: null, rounds: 0, roundAt: null }
}

function put(w: Ways, known: Known): Ways {
  const others = w.list.filter((k) => !sameWay(k, known))
  if (others.length < LIMITS.waysPerPath) return { ...w, list: [...others, known] }
  // The oldest that nobody uses and that never answered gives way.
  const at = others.findIndex((k) => k.worked === null && !sameWay(k, w.used))
  return at < 0 ? w : { ...w, list: [...others.slice(0, at), ...others.slice(at + 1), known] }
}

/** Of the way in use when it is not to be had any more. */
const LOST_RANK = 1e9
