import { endpointText } from '../addr/endpoint.ts'
import { nodeKey } from '../addr/ids.ts'
import { after, between, type Instant, millis, sooner } from '../base/time.ts'
import type { PathClose } from '../wire/messages/direction.ts'
import type { Path } from './paths.ts'
import { TIMERS } from './timers.ts'
import { addressDeadline } from './tunnel-address.ts'
import { Alive, aliveClock, aliveDeadline } from './tunnel-alive.ts'
import { type Core, chance, closed, fail, forget, touch } from './tunnel-core.ts'
import { epochsDeadline, expire } from './tunnel-epochs.ts'
import { followClock } from './tunnel-follow.ts'
import { probe, startProbing } from './tunnel-probing.ts'
import { sendFrames } from './tunnel-send.ts'
import { waysAstray, waysClock, waysDeadline, waysOpened } from './tunnel-ways.ts'

/** First proof that both ends hold the same keys. `path.address` is set. */
export function opened(core: Core, path: Path, now: Instant): void {
  path.state = 'open'
  path.openedAt = now
  path.alive = new Alive(path.cells)
  // Not more than that: a worker may have heard the first packet before we did, and written down what is owed for it.
  path.alive.lastSent = now
  path.alive.lastInner = now
  startProbing(core, path, now)
  // An address that nothing has proven is no way yet.
  if (path.early === null) waysOpened(core, path, now)
  core.paths.lead(path)
  core.counters.count('ntm.tunnel.opened')
  const afterMs = between(path.installedAt, now)
  core.log.info('tunnel.opened', { path: path.label, peer: nodeKey(path.peer.node), role: path.role, afterMs })
  core.out.push({ out: 'opened', path })
  // One path per pair of boxes: the coordinator made a new contract because the old one was of no use.
  for (const old of core.paths.byPeer(path.peer.node)) {
    if (old === path || !old.isOpen || old.replacedUntil !== null) continue
    core.paths.inherit(old, path)
    old.replacedUntil = after(now, TIMERS.replacedKept.millis)
    touch(core, old, now)
  }
}

/** A new epoch seals: when the next one is due. */
export function planRekey(core: Core, path: Path, now: Instant): void {
  const spread = millis(Math.round(TIMERS.rekeySpread.millis * (2 * chance(core) - 1)))
  path.rekeyAt =
    path.role === 'opener'
      ? after(after(now, TIMERS.rekeyOpener.millis), spread)
      : after(now, TIMERS.rekeyAcceptor.millis)
}

/** Everything about a path that only time brings; the handshake's own clocks are in `tunnel-open.ts`. */
export function lifeClock(core: Core, path: Path, now: Instant): void {
  if (now >= path.leaseUntil) return closing(core, path, 'expired', now)
  if (path.replacedUntil !== null && now >= path.replacedUntil) return closing(core, path, 'replaced', now)
  path.halves.sweep(now)
  if (path.state === 'provisional' || path.early !== null) {
    if (path.role === 'acceptor' && now >= provisionalUntil(path)) fail(core, path, 'no-request', now)
    return
  }
  if (path.resetAt !== null && now >= path.resetAt) return lost(core, path, now)
  path.epochs = expire(path.epochs, now)
  if (path.epochs.cur === null) return fail(core, path, 'keys-expired', now)
  followClock(core, path, now)
  aliveness(core, path, now)
  if (path.isOpen) waysClock(core, path, now)
  if (path.isOpen) probe(core, path, now)
}

export function lifeDeadline(path: Path): Instant | null {
  let first = sooner(sooner(path.leaseUntil, path.replacedUntil), path.halves.deadline())
  if (path.state === 'provisional' || path.early !== null) {
    return path.role === 'acceptor' ? sooner(first, provisionalUntil(path)) : first
  }
  first = sooner(sooner(first, path.resetAt), epochsDeadline(path.epochs))
  if (path.address !== null) first = sooner(first, addressDeadline(path.address))
  if (path.alive !== null) first = sooner(first, aliveDeadline(path.alive, keepsMapping(path)))
  first = sooner(first, waysDeadline(path))
  return path.mtu === null ? first : sooner(first, path.mtu.dueAt)
}

/** Tells the peer, when there is a way to, and forgets the path. */
export function closing(core: Core, path: Path, reason: PathClose['reason'], now: Instant): void {
  if (path.isOpen && path.address !== null) {
    sendFrames(core, path, [{ kind: 'close', reason }], path.address.current, now)
  }
  // The caller of `lost` has been told by us already.
  if (reason === 'lost') forget(core, path, now)
  else closed(core, path, reason, now)
}

/** The peer showed the token that only it could know, and nothing genuine has come since. */
function lost(core: Core, path: Path, now: Instant): void {
  forget(core, path, now)
  core.counters.count('ntm.tunnel.reset')
  core.log.info('tunnel.reset', { path: path.label, peer: nodeKey(path.peer.node) })
  core.out.push({ out: 'reset', path })
}

function aliveness(core: Core, path: Path, now: Instant): void {
  if (path.alive === null || path.address === null) return
  for (let round = 0; round < 4 && path.isOpen; round++) {
    const next = aliveClock(path.alive, keepsMapping(path), now)
    const to = path.address.current
    switch (next) {
      case null:
        return
      case 'idle':
        return closing(core, path, 'unused', now)
      case 'keep-alive':
        core.counters.count('ntm.keep-alive')
        // Nothing to seal with: it will come back with the next epoch.
        if (sendFrames(core, path, [{ kind: 'pad', zeros: 0 }], to, now) === 0) path.alive.lastSent = now
        break
      case 'challenge':
        sendFrames(core, path, [{ kind: 'ping', nonce: core.random.bytes(8) }], to, now)
        break
      case 'astray':
        core.counters.count('ntm.tunnel.astray')
        core.log.info('tunnel.astray', { path: path.label, peer: nodeKey(path.peer.node) })
        waysAstray(core, path, now)
        core.out.push({ out: 'astray', path })
        break
      case 'silent':
        core.counters.count('ntm.tunnel.silent')
        core.log.warn('tunnel.silent', { path: path.label, peer: nodeKey(path.peer.node) })
        core.log.debug('tunnel.silent-at', { path: path.label, at: endpointText(to) })
        core.out.push({ out: 'silent', path })
        return
      default:
        return next satisfies never
    }
  }
}

/** Through a relay the leg's own refresh keeps the mapping. The acceptor may have opened its NAT too, by knocks or checks. */
const keepsMapping = (path: Path): boolean => path.keepsMapping && path.ways?.used.kind !== 'relay'

function provisionalUntil(path: Path): Instant {
  return after(path.installedAt, TIMERS.provisional.millis)
}
