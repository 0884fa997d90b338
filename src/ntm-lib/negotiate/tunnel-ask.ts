import { unreachable } from '../base/invariant.ts'
import { after, type Instant, type Millis, millis } from '../base/time.ts'
import { LIMITS, TIMERS } from './timers.ts'

/**
 * The clock of one Tunnel Request: when its bytes go again, when it is made anew, when it is given up. What the bytes
 * are is not its business.
 */
export type Asking =
  | { readonly at: 'idle' }
  | {
      readonly at: 'asking'
      readonly why: 'setup' | 'rekey'
      /** The epoch proposed. */
      readonly epoch: number
      /** Copies of the present bytes sent on the clock. */
      readonly copies: number
      readonly since: Instant
      readonly resendAt: Instant
      readonly freshAt: Instant
      readonly giveUpAt: Instant
    }

export type AskInput =
  | { readonly in: 'start'; readonly why: 'setup' | 'rekey'; readonly epoch: number }
  | { readonly in: 'clock' }
  /** The peer's own authentic request for this path came while ours is out. `wins` = ours counts, as long as it is young. */
  | { readonly in: 'crossed'; readonly wins: boolean }
  | { readonly in: 'answered' }

export type AskOutput =
  /** Make a new request (fresh ephemeral, try + 1) and send it. */
  | 'fresh'
  /** Send the same bytes again. */
  | 'again'
  /** Forget the request. */
  | 'drop'
  | 'give-up'
  | null

export type AskStep = { readonly state: Asking; readonly out: AskOutput }

export const idle: Asking = { at: 'idle' }

export function askDeadline(s: Asking): Instant | null {
  return s.at === 'idle' ? null : (Math.min(s.resendAt, s.freshAt, s.giveUpAt) as Instant)
}

/** Pure. `chance` is a number in [0, 1) that spreads the waits. */
export function askStep(s: Asking, input: AskInput, chance: number, now: Instant): AskStep {
  switch (input.in) {
    case 'start':
      return start(input.why, input.epoch, chance, now)
    case 'clock':
      return onClock(s, chance, now)
    case 'crossed':
      if (s.at === 'idle') return stay(s)
      // The winner repeats its request at once: the loser has just shown that it did not hear it. One for one. But one
      // that has long not been heard gives way: requests may be getting through in the other direction only.
      return input.wins && s.copies < YIELD_COPIES ? { state: s, out: 'again' } : { state: idle, out: 'drop' }
    case 'answered':
      return s.at === 'idle' ? stay(s) : { state: idle, out: 'drop' }
    default:
      return unreachable(input)
  }
}

function start(why: 'setup' | 'rekey', epoch: number, chance: number, now: Instant): AskStep {
  const giveUp = why === 'setup' ? TIMERS.setupGiveUp : TIMERS.rekeyGiveUp
  return {
    state: {
      at: 'asking',
      why,
      epoch,
      copies: 1,
      since: now,
      resendAt: after(now, wait(1, chance)),
      freshAt: after(now, TIMERS.tunnelRequestFresh.millis),
      giveUpAt: after(now, giveUp.millis),
    },
    out: 'fresh',
  }
}

function onClock(s: Asking, chance: number, now: Instant): AskStep {
  if (s.at === 'idle') return stay(s)
  if (now >= s.giveUpAt) return { state: idle, out: 'give-up' }
  if (now >= s.freshAt) {
    const freshAt = after(now, TIMERS.tunnelRequestFresh.millis)
    return { state: { ...s, copies: 1, resendAt: after(now, wait(1, chance)), freshAt }, out: 'fresh' }
  }
  if (now < s.resendAt) return stay(s)
  const copies = s.copies + 1
  return { state: { ...s, copies, resendAt: after(now, wait(copies, chance)) }, out: 'again' }
}

function wait(copies: number, chance: number): Millis {
  const step = WAITS[Math.min(copies, WAITS.length) - 1] ?? TIMERS.tunnelRequest4
  return millis(Math.round(step.millis * (1 + LIMITS.requestJitter * (2 * chance - 1))))
}

const stay = (state: Asking): AskStep => ({ state, out: null })
const YIELD_COPIES = 4
const WAITS = [TIMERS.tunnelRequest1, TIMERS.tunnelRequest2, TIMERS.tunnelRequest3, TIMERS.tunnelRequest4]
