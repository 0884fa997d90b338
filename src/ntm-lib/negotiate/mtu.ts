import type { Endpoint } from '../addr/endpoint.ts'
import { isIp4 } from '../addr/ip.ts'
import { after, type Instant } from '../base/time.ts'
import { LIMITS, TIMERS } from './timers.ts'

/**
 * The MTU rule: P = size of an outer IP packet that passes, T = P − overhead = largest inner packet that travels whole,
 * M = max(1280, T) = largest inner packet that is let in; between T and M it travels in two halves. `docs/protocol.md`, MTU.
 */

/** Smallest outer packet assumed to pass. RFC 8200 §5 promises 1280 on IPv6; 700 × 2 halves still carry 1280 on IPv4. */
export const floorOf = (outer: Endpoint): number => (isIp4(outer.ip) ? 700 : 1280)
/** IP 20 or 40, UDP 8, NTM header 16, tag 16. */
export const overheadOf = (outer: Endpoint): number => (isIp4(outer.ip) ? 60 : 80)
/** Every path takes inner packets of this size: RFC 8200 §5. */
export const MIN_INNER = 1280
/** Where the search starts. */
export const BASE = 1280

/**
 * Search for the path MTU by probes that the far end acknowledges, RFC 8899 in its simplest form: try 1280, then the
 * ceiling, then halve the gap. Sizes are bytes of the outer IP packet.
 */
export type MtuSearch = {
  readonly at: 'searching' | 'settled'
  readonly floor: number
  /** Largest size that may pass at all: the uplink's own MTU. */
  readonly ceiling: number
  /** Largest size an answer came for; the floor while there was none. */
  readonly good: number
  /** Smallest size that is thought not to pass. */
  readonly bad: number
  /** Size being asked for; `tries` copies went, the next clock is due at `dueAt`. */
  readonly size: number
  readonly tries: number
  readonly dueAt: Instant
  /** When a settled search looks for more again. */
  readonly raiseAt: Instant
}

export type MtuStep = {
  readonly search: MtuSearch
  /** Send a probe of this size now. */
  readonly probe: number | null
}

export function startSearch(floor: number, ceiling: number, now: Instant): MtuSearch {
  const top = Math.max(floor, ceiling)
  return next({ ...EMPTY, floor, ceiling: top, good: floor, bad: top + 1, raiseAt: now }, now)
}

/** An answer to a probe of `size`, also a late one to a probe that was given up. */
export function onProbeAnswer(s: MtuSearch, size: number, now: Instant): MtuStep {
  if (size > s.ceiling || size < s.floor) return { search: s, probe: null }
  const good = Math.max(s.good, size)
  const bad = s.bad > good ? s.bad : s.ceiling + 1
  if (s.at === 'settled') {
    return { search: { ...s, good, bad, tries: 0, dueAt: after(now, TIMERS.probeConfirm.millis) }, probe: null }
  }
  return { search: size < s.size ? { ...s, good, bad } : next({ ...s, good, bad }, now), probe: null }
}

/** `busy` = inner packets flow: an idle path is not probed once its size is known. */
export function onProbeClock(s: MtuSearch, busy: boolean, now: Instant): MtuStep {
  if (now < s.dueAt) return { search: s, probe: null }
  if (s.at === 'settled' && s.tries === 0) {
    if (!busy) return { search: { ...s, dueAt: after(now, TIMERS.probeConfirm.millis) }, probe: null }
    if (now >= s.raiseAt && s.good < s.ceiling) return onProbeClock(next({ ...s, bad: s.ceiling + 1 }, now), busy, now)
  }
  if (s.tries < LIMITS.probes) {
    const wait = s.size <= BASE ? TIMERS.probeFirst : TIMERS.probe
    return { search: { ...s, tries: s.tries + 1, dueAt: after(now, wait.millis) }, probe: s.size }
  }
  // The size in use stopped passing: a black hole (RFC 8899 §4.3). Begin again from the floor, below what failed.
  const lost = s.at === 'settled' || s.size <= s.good
  const search = next(lost ? { ...s, good: s.floor, bad: Math.max(s.floor + 1, s.size) } : { ...s, bad: s.size }, now)
  return search.dueAt > now ? { search, probe: null } : onProbeClock(search, busy, now)
}

/**
 * Something says that the size in use no longer passes (an ICMP error, the kernel's own path MTU). It is not believed, for anybody
 * may say it, but the size is asked for now rather than in half a minute. RFC 8899 §3, item 7 (PTB messages are hints).
 */
export const doubt = (s: MtuSearch, now: Instant): MtuSearch =>
  s.at === 'settled' && s.tries === 0 && s.dueAt > now ? { ...s, dueAt: now } : s

/** T as packets are cut now: nothing is sent whole that has not been seen to pass. */
export const wholeBytes = (s: MtuSearch, outer: Endpoint): number => s.good - overheadOf(outer)

/** T as hosts are told (MSS clamp): before the first answer the base size is hoped for, later what is known. */
export function hopedBytes(s: MtuSearch, outer: Endpoint): number {
  const p = s.good === s.floor && s.bad > BASE ? Math.min(BASE, s.ceiling) : s.good
  return p - overheadOf(outer)
}

/** M, before the peer's own limit. */
export const innerBytes = (s: MtuSearch, outer: Endpoint): number => Math.max(MIN_INNER, wholeBytes(s, outer))

function next(s: MtuSearch, now: Instant): MtuSearch {
  const size = candidate(s)
  if (size !== null) return { ...s, at: 'searching', size, tries: 0, dueAt: now }
  const dueAt = after(now, TIMERS.probeConfirm.millis)
  return { ...s, at: 'settled', size: s.good, tries: 0, dueAt, raiseAt: after(now, TIMERS.probeRaise.millis) }
}

function candidate({ good, bad, ceiling }: MtuSearch): number | null {
  if (good < BASE && bad > BASE) return BASE
  if (bad === ceiling + 1 && good < ceiling) return ceiling
  return bad - good > STEP ? (good + bad) >> 1 : null
}

/** Not worth a probe. */
const STEP = 8
const EMPTY: Omit<MtuSearch, 'floor' | 'ceiling' | 'good' | 'bad' | 'raiseAt'> = {
  at: 'searching',
  size: 0,
  tries: 0,
  dueAt: 0 as Instant,
}
