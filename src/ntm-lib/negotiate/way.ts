import { type Endpoint, sameEndpoint } from '../addr/endpoint.ts'
import { sameVia, type Via } from '../addr/via.ts'
import { after, type Instant, type Millis } from '../base/time.ts'
import { TIMERS } from './timers.ts'

/** One way to the peer: out of one of our own, to one of the places where it may be heard. */
export type WayTo = {
  readonly via: Via | null
  readonly to: Endpoint
  readonly kind: 'direct' | 'relay'
}

/** A way that may be looked for; the lower the rank, the better. Equal ranks are equally good: who is on one stays. */
export type Offer = WayTo & { readonly rank: number }

/** A question on its way: several datagrams, told apart by the last byte of the nonce. */
export type Checking = {
  /** 7 random bytes; the eighth is the copy's number. */
  readonly seed: Uint8Array
  readonly sentAt: readonly Instant[]
  /** When the next copy goes; null: no more of them, but an answer still counts. */
  readonly dueAt: Instant | null
  /** We have settled on this way and want to know that the peer has heard it. */
  readonly use: boolean
}

export type Known = Offer & {
  readonly checking: Checking | null
  /** The newest answer: the peer is there, and hears us there. */
  readonly worked: { readonly since: Instant; readonly at: Instant; readonly rtt: Millis } | null
}

export type Copy = { readonly way: Known; readonly nonce: Uint8Array; readonly use: boolean }

/** Seeds of nonces: 7 random bytes a call. */
export type Seeds = () => Uint8Array

export const sameWay = (a: WayTo, b: WayTo): boolean => sameEndpoint(a.to, b.to) && sameVia(a.via, b.via)

/** One more copy of a question, and the next one at `dueAt`. */
export function ask(k: Known, c: Checking, dueAt: Instant | null, now: Instant): { asked: Known; copy: Copy } {
  const nonce = new Uint8Array(8)
  nonce.set(c.seed)
  nonce[7] = c.sentAt.length
  const checking = {
    ...c,
    sentAt: [...c.sentAt, now],
    dueAt: c.sentAt.length >= MOST_COPIES ? null : dueAt,
  }
  const asked = { ...k, checking }
  return { asked, copy: { way: asked, nonce, use: c.use } }
}

/** When the copy after this one goes; while nothing works at all they never end. */
export function nextAt(c: Checking, urgent: boolean, now: Instant): Instant | null {
  const wait = WAITS[c.sentAt.length]
  if (wait !== undefined) return after(now, wait.millis)
  return urgent && !c.use ? after(now, TIMERS.checkSlow.millis) : null
}

/** A new question, to be asked now. */
export const fresh = (seeds: Seeds, now: Instant): Checking => ({
  seed: seeds(),
  sentAt: [],
  dueAt: now,
  use: false,
})
/** No more copies; an answer still counts. */
export const silence = (k: Known, c: Checking): Known => ({ ...k, checking: { ...c, dueAt: null, use: false } })
/** What was said with `use` is not meant any more. */
export const unused = (k: Known): Known => (k.checking?.use === true ? silence(k, k.checking) : k)
/** Whether a nonce is one of this question's copies. */
export const isAnswer = (c: Checking | null, nonce: Uint8Array): boolean => {
  if (c === null || (nonce[7] ?? 255) >= c.sentAt.length) return false
  for (let i = 0; i < 7; i++) if (c.seed[i] !== nonce[i]) return false
  return true
}

const WAITS = [TIMERS.check1, TIMERS.check2, TIMERS.check3, TIMERS.check4]
/** One byte counts them. */
export const MOST_COPIES = 250
