import { type Endpoint, endpointText, sameEndpoint } from '../addr/endpoint.ts'
import { after, between, type Instant, sooner } from '../base/time.ts'
import { openCookie, tag1Of, writeTags } from '../crypto/cookie.ts'
import type { SuiteId } from '../crypto/suite.ts'
import type { Header } from '../wire/header.ts'
import type { Path } from './paths.ts'
import { TIMERS } from './timers.ts'
import { settledAt } from './tunnel-address.ts'
import { type AskInput, askDeadline, askStep } from './tunnel-ask.ts'
import { type Core, chance, drop, fail, send, serialOf } from './tunnel-core.ts'
import { initiated, proposal } from './tunnel-epochs.ts'
import { makeRequest, other, readResponse, slotFrom } from './tunnel-handshake.ts'
import { opened, planRekey } from './tunnel-life.ts'
import { legStart, sendByLeg } from './tunnel-relay.ts'
import { sendFrames } from './tunnel-send.ts'

/** Proposes a new epoch: at set-up by the opener, later by whoever's clock says so. */
export function propose(core: Core, path: Path, now: Instant): void {
  if (path.asking.at === 'asking') return
  const epoch = proposal(path.epochs)
  if (epoch === null) return fail(core, path, 'epochs-used-up', now)
  ask(core, path, { in: 'start', why: path.state === 'open' ? 'rekey' : 'setup', epoch }, now)
}

/** One input to the request's clock, and what it asks for. */
export function ask(core: Core, path: Path, input: AskInput, now: Instant): void {
  const { state, out } = askStep(path.asking, input, chance(core), now)
  path.asking = state
  switch (out) {
    case null:
      return
    case 'fresh':
      return fresh(core, path, now)
    case 'again':
      core.counters.count('ntm.tunnel.request-again')
      return sendRequest(core, path, now)
    case 'drop':
      path.outstanding = null
      return
    case 'give-up':
      path.outstanding = null
      return fail(core, path, 'no-answer', now)
    default:
      return out satisfies never
  }
}

/** A Tunnel Response came for `path`; its direction is the peer's. */
export function onResponse(
  core: Core,
  path: Path,
  header: Header,
  from: Endpoint,
  bytes: Uint8Array,
  now: Instant,
): void {
  const out = path.outstanding
  if (out === null || header.counter !== out.tryNumber || header.word !== out.epoch) return drop(core, 'late-response')
  const answer = readResponse(out, bytes)
  if (answer === null) return drop(core, 'bad-handshake')
  const asking = path.asking
  ask(core, path, { in: 'answered' }, now)
  if (answer === 'spent') return fail(core, path, 'bad-answer', now)
  const { payload, keys } = answer
  if (payload.verdict !== 0) return fail(core, path, 'refused', now)
  const suiteId = core.settings.suites.find((s) => s === payload.suite)
  if (suiteId === undefined || (path.contract.suiteMask & (1 << suiteId)) === 0)
    return fail(core, path, 'bad-suite', now)
  if (payload.version !== 1) return fail(core, path, 'version', now)
  const slot = slotFrom(path.bond, keys, out.epoch, suiteId, true, core.refused, serialOf(core), now)
  path.epochs = initiated(path.epochs, slot)
  path.peerInnerMtu = Math.max(1280, payload.innerMtuBytes)
  path.peerReset = { id: header.id, token: payload.resetToken }
  // A repeated request's answer cannot be timed (Karn).
  if (asking.at === 'asking' && asking.copies === 1) path.rtt = between(out.sentAt, now)
  planRekey(core, path, now)
  core.counters.count('ntm.tunnel.epoch')
  if (path.address === null) {
    path.address = settledAt(from, now)
    core.log.debug('tunnel.address', { path: path.label, at: endpointText(from) })
  }
  path.ready = { copies: 0, at: now }
  readyClock(core, path, now)
  if (path.state === 'provisional') opened(core, path, now)
}

/** A Cookie came: prove our address at once, with otherwise the same bytes. */
export function onCookie(core: Core, path: Path, header: Header, bytes: Uint8Array, now: Instant): void {
  const out = path.outstanding
  if (out === null || header.counter !== out.tryNumber || path.cookieFor === out.tryNumber) {
    return drop(core, 'late-cookie')
  }
  const tagKey = path.bond.secrets.tagKey(path.direction)
  const cookie = openCookie(core.suite, bytes, tagKey, tag1Of(out.bytes))
  if (cookie === null) return drop(core, 'bad-cookie')
  core.counters.count('ntm.tunnel.cookie')
  path.cookie = cookie
  // Once per request: a peer that answers cookies to cookies must wait for the clock like anybody.
  path.cookieFor = out.tryNumber
  writeTags(core.suite, out.bytes, tagKey, cookie)
  sendRequest(core, path, now)
}

/** The clocks of proposing: retransmission, key confirmation, the next epoch. */
export function openClock(core: Core, path: Path, now: Instant): void {
  const due = askDeadline(path.asking)
  if (due !== null && now >= due) ask(core, path, { in: 'clock' }, now)
  if (path.state !== 'open') return
  readyClock(core, path, now)
  if (path.rekeyAt === null || now < path.rekeyAt || path.asking.at === 'asking') return
  propose(core, path, now)
}

export function openDeadline(path: Path): Instant | null {
  const first = sooner(sooner(askDeadline(path.asking), path.ready?.at ?? null), path.answerAgain?.at ?? null)
  return path.state === 'open' && path.asking.at === 'idle' ? sooner(first, path.rekeyAt) : first
}

/** Key confirmation until anything comes back in the new epoch: without it the peer never seals in it. */
function readyClock(core: Core, path: Path, now: Instant): void {
  if (path.ready === null || path.address === null || now < path.ready.at) return
  sendFrames(core, path, [{ kind: 'ready' }], path.address.current, now)
  const copies = path.ready.copies + 1
  const wait = copies < READY_QUICK ? TIMERS.ready : TIMERS.tunnelRequest4
  path.ready = { copies, at: after(now, wait.millis) }
}

function fresh(core: Core, path: Path, now: Instant): void {
  if (path.asking.at !== 'asking') return
  path.tries++
  const { innerMtuBytes } = core.settings
  const payload = {
    bootId: core.bootId,
    membershipSerial: core.membershipSerial,
    revocationVersion: core.revocationVersion(),
    resetToken: core.resets.token(path.id),
    innerMtuBytes,
    suiteMask: core.suiteMask & path.contract.suiteMask,
    features: 0,
    versionMin: 1,
    versionMax: 1,
  }
  const at = { epoch: path.asking.epoch, id: path.id, tryNumber: path.tries }
  path.outstanding = makeRequest(path.bond, at, payload, path.cookie, now)
  if (path.outstanding === null) return fail(core, path, 'bad-peer-key', now)
  core.counters.count('ntm.tunnel.request')
  sendRequest(core, path, now)
}

/** The request that is out goes to what has just become known of the peer; nothing is asked anew. */
export function requestAgain(core: Core, path: Path, now: Instant): void {
  if (path.outstanding !== null) sendRequest(core, path, now)
}

/**
 * Where the peer is; before it has spoken to where the coordinator expects it. From the third copy on everywhere: what was
 * expected did not come true.
 */
function sendRequest(core: Core, path: Path, now: Instant): void {
  const { outstanding, address, asking, whereabouts } = path
  if (outstanding === null) return
  const everywhere = asking.at === 'asking' && (asking.copies > 2 || (asking.why === 'setup' && path.tries > 1))
  const direct = whereabouts.way === 'direct'
  if (address !== null) send(core, address.current, outstanding.bytes, path.via)
  if (address !== null && !everywhere) return
  let byRelay = false
  if (everywhere || !direct) {
    legStart(core, path, now)
    byRelay = sendByLeg(core, path, outstanding.bytes)
  }
  if (!everywhere && !direct && byRelay) return
  for (const to of path.candidates) {
    if (address === null || !sameEndpoint(to, address.current)) send(core, to, outstanding.bytes)
  }
}

/** The best cipher both offer within the contract; null when there is none. */
export function chooseSuite(core: Core, path: Path, offered: number): SuiteId | null {
  return core.settings.suites.find((s) => (path.contract.suiteMask & offered & (1 << s)) !== 0) ?? null
}

export const peerDirection = (path: Path): 0 | 1 => other(path.direction)

/** Copies of `ready` in quick succession: 35 bytes each. */
const READY_QUICK = 8
