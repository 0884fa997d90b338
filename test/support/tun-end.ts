import { startInlineHost } from '#cli/compose/inline-host.ts'
import { NodeShell } from '#cli/compose/node-shell.ts'
import type { PacketHost } from '#cli/compose/packet-host.ts'
import { startPacketHost } from '#cli/compose/thread-host.ts'
import { startTunPlane, type TunPlaneConfig } from '#cli/worker/tun-plane.ts'
import type { TunIn, TunOut } from '#cli/worker/tun-words.ts'
import { systemClock } from '#io/clock.ts'
import { nodeCrypto } from '#io/crypto-node.ts'
import { mirrorCells } from '#io/mirror-cells.ts'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'
import type { SuiteId } from '#ntm-lib/crypto/suite.ts'
import type { NodeOut } from '#ntm-lib/negotiate/node.ts'
import type { Path, Tunnels } from '#ntm-lib/negotiate/tunnels.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import { testNetwork } from './network.ts'
import { routePair, tunnelsOf } from './route.ts'
import { seededCrypto } from './seeded-crypto.ts'

export type TunEndWish = {
  readonly role: 'opener' | 'acceptor'
  /** The same at both ends: everything that a coordinator would tell is made of it. */
  readonly seed: string
  readonly openerAt: Endpoint
  readonly acceptorAt: Endpoint
  readonly openerInner: readonly Prefix[]
  readonly acceptorInner: readonly Prefix[]
  readonly suites: readonly SuiteId[]
  readonly underlayMtuBytes: number
  /** 0: in the control thread; null: as many as there are cores for. */
  readonly workers: number | null
  readonly tun: TunPlaneConfig
  readonly log: Log
  readonly onFail: (why: Error) => void
}

export type TunEnd = {
  readonly tunnels: Tunnels
  readonly path: Path
  readonly host: PacketHost<TunIn>
  readonly counters: CounterMap
  readonly cells: Float64Array
  /** Resolves when packets may pass. */
  readonly opened: Promise<void>
  stop(): Promise<void>
}

/**
 * One end of a plain tunnel over a TUN device, as the product runs it: control thread, packet worker, a real handshake. Only the
 * coordinator is missing: both ends make its words from the same seed.
 */
export async function startTunEnd(w: TunEndWish): Promise<TunEnd> {
  const made = seededCrypto(w.seed)
  const network = testNetwork(made)
  const opener = network.member('opener.plant.example')
  const acceptor = network.member('acceptor.plant.example')
  const routes = routePair(made, network, {
    opener,
    acceptor,
    openerAt: [w.openerAt],
    acceptorAt: [w.acceptorAt],
    openerAllowed: w.openerInner,
    acceptorAllowed: w.acceptorInner,
  })
  const counters = new CounterMap()
  const cells = mirrorCells(16)
  const { tunnels } = tunnelsOf(nodeCrypto, network, w.role === 'opener' ? opener : acceptor, {
    mirror: { cells },
    counters,
    log: w.log,
    suites: w.suites,
    innerMtuBytes: 1500,
    underlayMtuBytes: w.underlayMtuBytes,
  })
  const parts = {
    role: w.tun,
    udp: { port: (w.role === 'opener' ? w.openerAt : w.acceptorAt).port },
    cells,
    counters,
    log: w.log,
    onOut: () => {},
    onFail: w.onFail,
  }
  const host: PacketHost<TunIn> =
    w.workers === 0
      ? await startInlineHost({ ...parts, startRole: startTunPlane })
      : await startPacketHost<TunIn, TunOut>({
          ...parts,
          kind: 'tun',
          ...(w.workers === null ? {} : { workers: w.workers }),
        })
  const opened = Promise.withResolvers<void>()
  const shell = new NodeShell({
    node: bare(tunnels),
    host,
    clock: systemClock,
    onEvent: (event) => {
      w.log.info('tun-end.event', { event: event.event })
      if (event.event === 'path-open') opened.resolve()
    },
  })
  shell.start()
  const installed = tunnels.install(w.role === 'opener' ? routes.opener : routes.acceptor, {}, systemClock.now())
  if (!installed.ok) throw new BugError(`our own route was refused: ${installed.why}`)
  shell.touch()
  return {
    tunnels,
    path: installed.path,
    host,
    counters,
    cells,
    opened: opened.promise,
    stop: async () => {
      tunnels.close(routes.contractHash, 'unused', systemClock.now())
      shell.stop()
      await host.stop()
    },
  }
}

/** Tunnels alone, driven as a Node is. */
function bare(tunnels: Tunnels): ConstructorParameters<typeof NodeShell>[0]['node'] {
  return {
    tunnels,
    start: () => {},
    settle: () => {},
    onMirror: (event, now) =>
      event.event === 'datagram' && ((event.bytes[0] ?? 0) & 15) !== 4
        ? tunnels.handle(event.from, event.bytes, now)
        : tunnels.onMirror(event, now),
    tick: (now) => tunnels.tick(now),
    deadline: () => tunnels.deadline(),
    poll: (): NodeOut | null => {
      const command = tunnels.pollMirror()
      if (command !== null) return { out: 'mirror', command }
      const out = tunnels.poll()
      if (out === null || out.out === 'send') return out
      const { contractHash, row } = out.path
      if (out.out === 'opened') return { out: 'event', event: { event: 'path-open', contractHash, row } }
      if (out.out === 'mtu') return { out: 'event', event: { event: 'path-mtu', contractHash, row } }
      const why = 'why' in out ? out.why : out.out
      return { out: 'event', event: { event: 'path-gone', contractHash, row, peer: out.path.peer.node, why } }
    },
  }
}
