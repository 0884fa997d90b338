import { hex } from '../base/hex.ts'
import { after, type Instant, seconds } from '../base/time.ts'
import { fingerprintOf } from '../crypto/schedule.ts'
import type { Route, Whereabouts } from '../wire/messages/direction.ts'
import type { RefusalCode } from '../wire/messages/refusal.ts'
import { type CheckedRoute, checkRoute, type Expected } from './contract-check.ts'
import { allowed } from './filter.ts'
import { Halves } from './halves.ts'
import { Path } from './paths.ts'
import { type Core, touch } from './tunnel-core.ts'
import { PathSecrets } from './tunnel-handshake.ts'
import { relocate } from './tunnel-moves.ts'
import type { Row } from './tunnel-rows.ts'

export type Installed =
  | { readonly ok: true; readonly path: Path }
  | { readonly ok: false; readonly code: RefusalCode; readonly why: string }

/** Checks a route and puts its path into the receive table. A route already here gives the path that stands. */
export function installRoute(
  core: Core,
  memberships: readonly Uint8Array[],
  route: Route,
  expected: Expected,
  now: Instant,
): Installed {
  const { suite, identity, trust, suiteMask } = core
  const fingerprint = fingerprintOf(suite, trust.rootPublicKey)
  const checker = { suite, trust, fingerprint, nodeId: identity.nodeId, memberships, suiteMask }
  const checked = checkRoute(checker, route, expected)
  if (!checked.ok) return refused(core, checked.code, checked.why)
  const known = core.paths.byKey(hex(checked.value.hash))
  if (known !== null) {
    // The same contract with newer word of the peer.
    if (route.peerLocationVersion > known.whereabouts.peerLocationVersion)
      relocate(core, known, whereaboutsOf(route), now)
    return { ok: true, path: known }
  }
  // Never replaced by a direction with another contract: the coordinator must mint other ids.
  if (core.paths.idsTaken(checked.value.contract.pathIds)) {
    return refused(core, 'path-id-in-use', 'a path id names another path')
  }
  if (core.paths.size >= PATH_LIMIT) return refused(core, 'busy', 'too many paths')
  const row = core.rows.take(now)
  if (row === null) return refused(core, 'busy', 'too many paths')
  const path = makePath(core, checked.value, route, row, now)
  core.paths.add(path)
  core.rows.place(path)
  touch(core, path, now)
  core.counters.count('ntm.tunnel.installed')
  return { ok: true, path }
}

function makePath(
  core: Core,
  { contract, hash, peer, candidates }: CheckedRoute,
  route: Route,
  row: Row,
  now: Instant,
): Path {
  const { suite, identity } = core
  const opening = route.youAre === 'opener'
  const [own, theirs] = opening
    ? [contract.openerAllowed, contract.acceptorAllowed]
    : [contract.acceptorAllowed, contract.openerAllowed]
  const path = new Path({
    ...row,
    contractHash: hash,
    contract,
    role: route.youAre,
    peer: { node: peer.nodeId, name: peer.leaf.name, roles: peer.leaf.roles, certificate: peer.leaf },
    bond: {
      suite,
      self: identity.static,
      peerStatic: peer.leaf.subject,
      fingerprint: contract.fingerprint,
      contractHash: hash,
      secrets: new PathSecrets(suite, route.pathSecret, hash),
      direction: opening ? 0 : 1,
    },
    ownAllowed: allowed(own),
    peerAllowed: allowed(theirs),
    halves: new Halves(core.halves),
    whereabouts: whereaboutsOf(route),
    leaseUntil: after(now, seconds(contract.leaseSeconds)),
    now,
  })
  path.candidates = candidates
  return path
}

const whereaboutsOf = ({ peerCandidates, peerLocationVersion, way, optimise, relay }: Route): Whereabouts => ({
  peerCandidates,
  peerLocationVersion,
  way,
  optimise,
  relay,
})

function refused(core: Core, code: RefusalCode, why: string): Installed {
  core.counters.count(`ntm.tunnel.refused.${code}`)
  core.log.warn('tunnel.refused', { code, why })
  return { ok: false, code, why }
}

const PATH_LIMIT = 16_384
