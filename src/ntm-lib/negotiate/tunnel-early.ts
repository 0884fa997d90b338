import { type Endpoint, sameEndpoint } from '../addr/endpoint.ts'
import { sameIp } from '../addr/ip.ts'
import type { Instant } from '../base/time.ts'
import { SEEN_PRIORITY } from '../wire/messages/common.ts'
import type { Path } from './paths.ts'
import { LIMITS } from './timers.ts'
import { settledAt } from './tunnel-address.ts'
import type { Core } from './tunnel-core.ts'
import { opened } from './tunnel-life.ts'
import { startProbing } from './tunnel-probing.ts'
import { waysOpened } from './tunnel-ways.ts'

/**
 * Whether the acceptor may seal as soon as it has answered (D-0008): in the first epoch of a contract that nobody can have
 * recorded anything of, and only when no open path with this peer would be given up for it.
 */
export const mayBeEarly = (core: Core, path: Path): boolean =>
  path.role === 'acceptor' &&
  (path.early !== null || path.state === 'provisional') &&
  !core.paths.byPeer(path.peer.node).some((p) => p !== path && p.isOpen)

/** The first epoch's request, of `asked` bytes, came from `from` and is answered with `told` bytes: the path counts as open. */
export function beginEarly(core: Core, path: Path, from: Endpoint, asked: number, told: number, now: Instant): void {
  const serial = (path.early?.serial ?? 0) - 1
  const bytes = isSafe(path, from) ? ENOUGH : LIMITS.unprovenFactor * asked - told
  path.early = { to: from, serial, bytes, out: 0 }
  path.address = settledAt(from, now)
  core.counters.count('ntm.tunnel.early')
  if (path.state === 'provisional') opened(core, path, now)
}

/**
 * Whether what goes to `from` can hit nobody but the peer: our own relay, which sees to it itself; or an address at which the
 * coordinator has seen the peer (a NAT may use another port of it each time).
 */
const isSafe = ({ whereabouts }: Path, from: Endpoint): boolean =>
  whereabouts.relay?.endpoints.some((e) => sameEndpoint(e, from)) === true ||
  whereabouts.peerCandidates.some((c) => c.priority >= SEEN_PRIORITY && sameIp(c.endpoint.ip, from.ip))

/** Another copy of that request: what comes from there may be answered threefold. From elsewhere it earns nothing. */
export function earnEarly(path: Path, from: Endpoint, asked: number, told: number): void {
  const { early } = path
  if (early === null || !sameEndpoint(early.to, from)) return
  path.early = { ...early, bytes: early.bytes + LIMITS.unprovenFactor * asked - told }
}

/** Something genuine came: the peer has the keys, and this is where it is. */
export function endEarly(core: Core, path: Path, from: Endpoint, now: Instant): void {
  path.early = null
  path.address = settledAt(from, now)
  startProbing(core, path, now)
  waysOpened(core, path, now)
}

/** What is sent in a round trip, and an end to it should nobody ever answer. */
const ENOUGH = 2 ** 20
