import { after, type Instant, sooner } from '../base/time.ts'
import { LIMITS, TIMERS } from './timers.ts'

/**
 * What a path remembers to know whether anybody is there. Changed in place: every packet touches it, and it must cost
 * nothing. Null = nothing of the kind is outstanding.
 */
export type Alive = {
  lastSent: Instant
  /** Newest inner packet either way. */
  lastInner: Instant
  /** First inner packet we sent that nothing has answered. */
  unansweredSince: Instant | null
  /** First inner packet we received since we last sent anything. */
  owedSince: Instant | null
  challenges: number
  challengeAt: Instant | null
  silent: boolean
}

export const alive = (now: Instant): Alive => ({
  lastSent: now,
  lastInner: now,
  unansweredSince: null,
  owedSince: null,
  challenges: 0,
  challengeAt: null,
  silent: false,
})

export function onSent(a: Alive, inner: boolean, now: Instant): void {
  a.lastSent = now
  a.owedSince = null
  if (!inner) return
  a.lastInner = now
  a.unansweredSince ??= now
}

export function onReceived(a: Alive, inner: boolean, now: Instant): void {
  a.unansweredSince = null
  a.challenges = 0
  a.challengeAt = null
  a.silent = false
  if (!inner) return
  a.lastInner = now
  a.owedSince ??= now
}

export type AliveOutput = 'idle' | 'challenge' | 'silent' | 'keep-alive' | null

/** The next thing to do now; call again until null. Only the opener sits behind the NAT, so only it keeps the mapping. */
export function aliveClock(a: Alive, opener: boolean, now: Instant): AliveOutput {
  if (now >= after(a.lastInner, TIMERS.idle.millis)) return 'idle'
  const challengeAt = nextChallenge(a)
  if (challengeAt !== null && now >= challengeAt) {
    if (a.challenges >= LIMITS.challenges) {
      a.silent = true
      return 'silent'
    }
    a.challenges++
    a.challengeAt = after(now, TIMERS.challenge.millis)
    return 'challenge'
  }
  return now >= keepAliveAt(a, opener) ? 'keep-alive' : null
}

export function aliveDeadline(a: Alive, opener: boolean): Instant | null {
  return sooner(sooner(after(a.lastInner, TIMERS.idle.millis), nextChallenge(a)), keepAliveAt(a, opener))
}

function nextChallenge(a: Alive): Instant | null {
  if (a.silent || a.unansweredSince === null) return null
  return a.challengeAt ?? after(a.unansweredSince, TIMERS.silence.millis)
}

function keepAliveAt(a: Alive, opener: boolean): Instant {
  const passive = a.owedSince === null ? null : after(a.owedSince, TIMERS.passiveKeepAlive.millis)
  const nat = opener ? after(a.lastSent, TIMERS.natKeepAlive.millis) : null
  return sooner(passive, nat) ?? (Number.POSITIVE_INFINITY as Instant)
}
