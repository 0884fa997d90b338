// The relay's packet side as `ntm relay` runs it, directed to one path; `bench/peers/relays.ts` starts it.

import { startPacketHost } from '#cli/compose/thread-host.ts'
import type { RelayIn, RelaySays } from '#cli/worker/relay-words.ts'
import { systemClock } from '#io/clock.ts'
import { mirrorCells } from '#io/mirror-cells.ts'
import { pathId } from '#ntm-lib/addr/ids.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { quiet } from '#ntm-lib/ports/log.ts'
import { RELAY_DEFAULTS } from '#relay/settings.ts'
import { RELAY_PATH } from './relay-path.ts'

const counters = new CounterMap()
const host = await startPacketHost<RelayIn, never>({
  kind: 'relay',
  role: RELAY_DEFAULTS,
  workers: 1,
  udp: { port: Number(process.argv[2]), bufferBytes: 16 << 20 },
  cells: mirrorCells(16),
  log: quiet,
  counters,
  onOut: () => {},
  onFail: (why) => {
    process.stderr.write(`${why.stack}\n`)
    process.exit(1)
  },
})
const { refused } = (await host.ask({
  say: 'direct',
  direction: {
    kind: 'relay-direction',
    pathIds: [1, 2, 3, 4].map((n) => pathId(RELAY_PATH.id + n - 1)) as never,
    openerKey: RELAY_PATH.keys[0],
    acceptorKey: RELAY_PATH.keys[1],
    kbitPerSecond: 0,
    packetsPerSecond: 0,
    leaseSeconds: 86_400,
  },
})) as RelaySays
if (refused !== null) throw new Error(refused)
process.stdout.write(`relay.ready ${host.udpPort} ${systemClock.now() > 0}\n`)
process.on(
  'SIGUSR2',
  () => void host.refresh().then(() => process.stdout.write(`${JSON.stringify([...counters.values])}\n`)),
)
