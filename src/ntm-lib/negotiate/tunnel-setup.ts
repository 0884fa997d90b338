import { after, type Instant } from '../base/time.ts'
import { signKnock } from '../crypto/relay-leg.ts'
import { joinKnock, TYPE_KNOCK } from '../wire/handshake.ts'
import type { Path } from './paths.ts'
import { TIMERS } from './timers.ts'
import { type Core, send } from './tunnel-core.ts'
import { headerOf } from './tunnel-handshake.ts'
import { propose, requestAgain } from './tunnel-open.ts'
import { legStart, sendByLeg } from './tunnel-relay.ts'

/**
 * Begins to build a path that was just installed (SEED 003 §3.3): the opener asks; the acceptor opens what filters stand
 * before it. Through a relay both bind at once, so that the seeds' Tunnel Request to the RS costs nobody a round trip.
 */
export function setupStart(core: Core, path: Path, now: Instant): void {
  if (path.whereabouts.way === 'relay') legStart(core, path, now)
  if (path.role === 'opener') return propose(core, path, now)
  path.knocking = { copies: 0, at: now }
  setupClock(core, path, now)
}

/** New whereabouts came while nothing is open yet: what was tried there is tried here, at once. */
export function setupRelocated(core: Core, path: Path, now: Instant): void {
  if (path.state !== 'provisional') return
  if (path.whereabouts.way === 'relay') legStart(core, path, now)
  if (path.role === 'opener') return requestAgain(core, path, now)
  path.knocking = { copies: 0, at: now }
  setupClock(core, path, now)
}

/**
 * The acceptor's part while it waits: Knocks towards the opener, 0, 300 and 900 ms after the direction, open the NATs and
 * firewalls on our side. With the third it comes to the relay too, which the opener tries then.
 */
export function setupClock(core: Core, path: Path, now: Instant): void {
  const { knocking } = path
  if (knocking === null || now < knocking.at) return
  if (path.state !== 'provisional' || path.accepted !== null) {
    path.knocking = null
    return
  }
  const copies = knocking.copies + 1
  const last = copies === KNOCKS
  if (last) legStart(core, path, now)
  knock(core, path, copies, last)
  const wait = copies === 1 ? TIMERS.tunnelRequest1 : TIMERS.tunnelRequest2
  path.knocking = last ? null : { copies, at: after(now, wait.millis) }
}

export const setupDeadline = (path: Path): Instant | null => path.knocking?.at ?? null

/**
 * Where a relay is expected to be needed, directly for the opener's last try only. Through the relay it opens nothing, but a relay
 * forwards to an unconfirmed leg three times what came from it: a Bind alone would not earn the Tunnel Request.
 */
function knock(core: Core, path: Path, copies: number, last: boolean): void {
  const header = headerOf(path.direction, TYPE_KNOCK, 0, path.id, copies)
  const bytes = signKnock(core.suite, path.bond.secrets.tagKey(path.direction), joinKnock({ header, tag1: NO_TAG }))
  if (sendByLeg(core, path, bytes)) core.counters.count('ntm.tunnel.knock')
  if (path.whereabouts.way === 'relay' && !last) return
  for (const to of path.candidates) {
    core.counters.count('ntm.tunnel.knock')
    send(core, to, bytes)
  }
}

const KNOCKS = 3
const NO_TAG = new Uint8Array(16)
