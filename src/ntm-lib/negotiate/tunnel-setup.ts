import { type Endpoint, sameEndpoint } from '../addr/endpoint.ts'
import { after, type Instant } from '../base/time.ts'
import { checkKnock, signKnock } from '../crypto/relay-leg.ts'
import { joinKnock, TYPE_KNOCK } from '../wire/handshake.ts'
import type { Header } from '../wire/header.ts'
import type { Path } from './paths.ts'
import { TIMERS } from './timers.ts'
import { type Core, drop, send } from './tunnel-core.ts'
import { headerOf } from './tunnel-handshake.ts'
import { peerDirection, propose, requestAgain } from './tunnel-open.ts'
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
  const { knocking, beginAt } = path
  if (beginAt !== null && now >= beginAt) {
    path.beginAt = null
    return setupStart(core, path, now)
  }
  if (knocking === null || now < knocking.at) return
  if (path.state !== 'provisional' || path.accepted !== null) {
    path.knocking = null
    return
  }
  const copies = knocking.copies + 1
  const last = copies === KNOCKS
  if (last) legStart(core, path, now)
  knock(core, path, last)
  const wait = copies === 1 ? TIMERS.tunnelRequest1 : TIMERS.tunnelRequest2
  path.knocking = last ? null : { copies, at: after(now, wait.millis) }
}

/**
 * A Knock: it has done its work on its way here, and shows where the acceptor's NAT lets answers in. A request that is still
 * unanswered goes there at once, once for each Knock: a copy of one that somebody sends in another's name earns nothing.
 */
export function onKnock(core: Core, path: Path, header: Header, from: Endpoint, bytes: Uint8Array): void {
  if (!checkKnock(core.suite, path.bond.secrets.tagKey(peerDirection(path)), bytes)) return drop(core, 'bad-tag')
  core.counters.count('ntm.tunnel.knocked')
  if (header.counter <= path.knocks.heard) return
  path.knocks.heard = header.counter
  const { outstanding, whereabouts } = path
  if (outstanding === null || path.address !== null) return
  // Through the relay nothing was in its way.
  if (whereabouts.relay?.endpoints.some((e) => sameEndpoint(e, from)) === true) return
  core.counters.count('ntm.tunnel.request-knocked')
  send(core, from, outstanding.bytes)
}

export const setupDeadline = (path: Path): Instant | null => path.beginAt ?? path.knocking?.at ?? null

/**
 * Where a relay is expected to be needed, directly for the opener's last try only. Through the relay a Knock opens nothing, but a
 * relay sends to an unconfirmed leg three times what came from it: the Bind pays for the Challenge, two Knocks for a Tunnel Request.
 */
function knock(core: Core, path: Path, last: boolean): void {
  if (path.leg !== null) for (let i = 0; i < KNOCKS_BY_LEG; i++) sendByLeg(core, path, knockOf(core, path))
  if (path.whereabouts.way === 'relay' && !last) return
  const bytes = knockOf(core, path)
  for (const to of path.candidates) send(core, to, bytes)
}

function knockOf(core: Core, path: Path): Uint8Array {
  path.knocks.sent++
  core.counters.count('ntm.tunnel.knock')
  const header = headerOf(path.direction, TYPE_KNOCK, 0, path.id, path.knocks.sent)
  return signKnock(core.suite, path.bond.secrets.tagKey(path.direction), joinKnock({ header, tag1: NO_TAG }))
}

const KNOCKS_BY_LEG = 2
const KNOCKS = 3
const NO_TAG = new Uint8Array(16)
