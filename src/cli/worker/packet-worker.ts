// The program of a packet worker thread; `compose/packet-host.ts` starts it.
import { systemClock } from '#io/clock.ts'
import { nativeEngine } from '#io/engine-native.ts'
import { packetIo } from '#io/native.ts'
import { ThreadLink } from '#io/thread-link.ts'
import { serveThread } from '#io/thread-side.ts'
import { openUdpRuns } from '#io/udp-runs.ts'
import { Gates } from './gates.ts'
import { PacketLoop } from './packet-loop.ts'
import type { RoleKind } from './role-plane.ts'
import { PLANES, startRole } from './roles.ts'
import type { PacketSaid, PacketWorkerConfig, PacketWorkerStarted, ToPacketWorker } from './words.ts'

serveThread<PacketWorkerConfig, ToPacketWorker, PacketSaid>(
  async (config, side) => {
    const { udp: options, cells, gates, index, workers, links } = config
    const udp = openUdpRuns(options)
    const { loop, started } = await PacketLoop.start(
      {
        udp,
        io: packetIo(),
        engine: nativeEngine(),
        cells,
        index,
        workers,
        links: links.map((end) => new ThreadLink(end, side.counters)),
        clock: systemClock,
        counters: side.counters,
        log: side.log,
        gates: new Gates(gates),
        say: (said) => side.tell(said),
        fail: side.fail,
      },
      (parts) => startRole(config.kind, config.role, parts),
    )
    const answer: PacketWorkerStarted = { udpPort: udp.port, role: started }
    return {
      started: answer,
      tell: (m) => {
        if ('orders' in m) loop.obey(m.orders)
      },
      ask: (m) => {
        if ('role' in m) return loop.ask(m.role)
        if ('steer' in m) udp.steer(m.steer)
        return null
      },
      beforeCounts: () => loop.countPorts(),
      stop: () => loop.stop(),
    }
  },
  (kind) => PLANES[kind as RoleKind](),
)
