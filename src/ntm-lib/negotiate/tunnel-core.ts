import type { Endpoint } from '../addr/endpoint.ts'
import { nodeKey } from '../addr/ids.ts'
import type { Via } from '../addr/via.ts'
import type { Queue } from '../base/queue.ts'
import type { Instant } from '../base/time.ts'
import type { CookieMaker } from '../crypto/cookie.ts'
import type { Identity } from '../crypto/identity.ts'
import type { OpenRefusals } from '../crypto/seal.ts'
import type { CryptoSuite, SuiteId } from '../crypto/suite.ts'
import type { Counters } from '../ports/counters.ts'
import type { Log } from '../ports/log.ts'
import type { Random } from '../ports/machine.ts'
import type { Way } from '../wire/messages/direction.ts'
import type { Trust } from './contract-check.ts'
import type { HalvesBudget } from './halves.ts'
import type { Paths } from './path-table.ts'
import type { Path } from './paths.ts'
import type { ResetMaker } from './reset.ts'
import type { TunnelMirror } from './tunnel-mirror.ts'
import type { Rows } from './tunnel-rows.ts'

/** Settings of one node's tunnels. */
export type TunnelSettings = {
  /** Largest inner packet we take, in bytes; at least 1280. */
  readonly innerMtuBytes: number
  /** MTU of the uplink, in bytes: the path MTU search goes no higher. */
  readonly underlayMtuBytes: number
  /** Tunnel ciphers this machine can do well, best first. */
  readonly suites: readonly SuiteId[]
  /** 32 bytes that outlive the process: with them a restarted box can still say that it forgot a path. */
  readonly resetSecret: Uint8Array
  /** Handshakes per second above which addresses must be proven first. Default `LIMITS.handshakesPerWindow`. */
  readonly handshakesPerSecond?: number
}

export type TunnelParts = {
  readonly suite: CryptoSuite
  readonly identity: Identity
  readonly trust: Trust
  readonly random: Random
  readonly log: Log
  readonly counters: Counters
  /** 8 random bytes of this start of the program. */
  readonly bootId: Uint8Array
  /** Newest revocation list held. */
  readonly revocationVersion: () => number
  readonly settings: TunnelSettings
  /**
   * Present when packet workers open and seal (D-0007). `cells`: `CELLS.words` numbers per row in memory shared with them, row 0 unused.
   */
  readonly mirror?: { readonly cells: Float64Array } | null
}

/** What tunnels say to their owner. A path in `failed`, `closed` or `reset` is already forgotten here. */
export type TunnelsOut =
  | { readonly out: 'send'; readonly to: Endpoint; readonly bytes: Uint8Array; readonly via: Via | null }
  | { readonly out: 'opened'; readonly path: Path }
  | { readonly out: 'failed'; readonly path: Path; readonly why: string }
  | { readonly out: 'closed'; readonly path: Path; readonly why: string }
  /** The peer no longer knows the path. */
  | { readonly out: 'reset'; readonly path: Path }
  /** The peer has not answered on any way for 30 s: of no use any more. Said once per silence. */
  | { readonly out: 'silent'; readonly path: Path }
  /** Nothing comes from the peer any more and every way to it is being tried: somebody may know where it is. Again after 1, 2, 4 … 30 s. */
  | { readonly out: 'astray'; readonly path: Path }
  /** From now on the path goes straight to the peer, or through its relay. */
  | { readonly out: 'way'; readonly path: Path; readonly way: Way }
  /** `innerMtu`, `wholeMtu` or `clampMtu` of the path changed. */
  | { readonly out: 'mtu'; readonly path: Path }

/** What the parts of `Tunnels` share. */
export type Core = Omit<TunnelParts, 'identity' | 'mirror'> & {
  identity: Identity
  /** Our own ways out, best first per family; empty: unknown, the kernel chooses. */
  vias: readonly Via[]
  membershipSerial: number
  readonly suiteMask: number
  readonly paths: Paths
  readonly rows: Rows
  /** Null when packets are opened and sealed in this thread. */
  readonly mirror: TunnelMirror | null
  readonly resets: ResetMaker
  readonly cookies: CookieMaker
  readonly out: Queue<TunnelsOut>
  readonly refused: OpenRefusals
  readonly halves: HalvesBudget
  /** Whether a NAT or a filter may stand before us, whose mapping is ours to keep; a terminator has none (SEED 000 §4). */
  keepsMappings: boolean
}

/** `via`: out of which of our own ways; null leaves it to the kernel. */
export function send(core: Core, to: Endpoint, bytes: Uint8Array, via: Via | null = null): void {
  if (!core.out.push({ out: 'send', to, bytes, via })) core.counters.count('ntm.drop.send-queue-full')
}

/** Something about the path may have changed. */
export const touch = (core: Core, path: Path, now: Instant): void => core.mirror?.touch(path, now)

/** A name for the next keys; null when nobody needs one. */
export const serialOf = (core: Core): number | null => core.mirror?.serial() ?? null

export const drop = (core: Core, reason: string): void => core.counters.count(`ntm.drop.${reason}`)

/** A number in [0, 1). */
export const chance = (core: Core): number => (core.random.bytes(1)[0] ?? 0) / 256

/** Takes a path out of every table and forgets its keys. Says nothing to the peer. */
export function forget(core: Core, path: Path, now: Instant): void {
  if (path.state === 'gone') return
  path.state = 'gone'
  core.paths.remove(path)
  core.rows.release(path, now)
  touch(core, path, now)
  path.halves.clear()
  path.epochs = { prev: null, cur: null, next: null }
  path.outstanding = null
  path.asking = { at: 'idle' }
  path.accepted = null
  path.bond.secrets.forget()
}

export function fail(core: Core, path: Path, why: string, now: Instant): void {
  if (path.state === 'gone') return
  forget(core, path, now)
  core.counters.count(`ntm.tunnel.failed.${why}`)
  core.log.warn('tunnel.failed', { path: path.label, peer: nodeKey(path.peer.node), why })
  core.out.push({ out: 'failed', path, why })
}

export function closed(core: Core, path: Path, why: string, now: Instant): void {
  if (path.state === 'gone') return
  const openMs = path.openedAt === null ? 0 : now - path.openedAt
  forget(core, path, now)
  core.counters.count(`ntm.tunnel.closed.${why}`)
  core.log.info('tunnel.closed', { path: path.label, peer: nodeKey(path.peer.node), why, openMs })
  core.out.push({ out: 'closed', path, why })
}
