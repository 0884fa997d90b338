/*
 * One end of a plain tunnel over a TUN device, without a coordinator: what is measured beside other tunnels.
 *   node bench/tun-end.ts --role opener|acceptor --seed TEXT --opener-at IP:PORT --acceptor-at IP:PORT
 *     --opener-inner PREFIX[,PREFIX] --acceptor-inner PREFIX[,PREFIX] [--device NAME] [--address ADDRESS/BITS[,…]]
 *     [--mtu BYTES] [--underlay BYTES] [--suite 0|1|2] [--workers N: as many as there are cores for unless told, 0 is the control thread itself]
 * Start both with the same seed, addresses and prefixes. The peer's prefixes are routed to the device. Prints a line of JSON: `{"ready":true,…}` when
 * packets may pass, counters on SIGUSR1. SIGUSR2 blocks the control thread for a second.
 */
import { parseArgs } from 'node:util'
import { openLog } from '#io/log.ts'
import { type Prefix, parsePrefix } from '#ntm-lib/addr/prefix.ts'
import type { SuiteId } from '#ntm-lib/crypto/suite.ts'
import { endpointOf } from '#test/support/route.ts'
import { startTunEnd } from '#test/support/tun-end.ts'

const { values: v } = parseArgs({
  options: {
    role: { type: 'string', default: 'opener' },
    seed: { type: 'string', default: 'tun-end' },
    'opener-at': { type: 'string', default: '' },
    'acceptor-at': { type: 'string', default: '' },
    'opener-inner': { type: 'string', default: '198.18.0.1/32' },
    'acceptor-inner': { type: 'string', default: '198.18.0.2/32' },
    device: { type: 'string', default: 'ntm0' },
    address: { type: 'string', default: '' },
    mtu: { type: 'string', default: '1500' },
    underlay: { type: 'string', default: '1500' },
    suite: { type: 'string', default: '1' },
    workers: { type: 'string', default: '' },
  },
})
const list = (text: string): string[] => text.split(',').filter((t) => t !== '')
const prefixes = (text: string): Prefix[] => list(text).flatMap((t) => parsePrefix(t) ?? [])
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`)
const isOpener = v.role === 'opener'

const end = await startTunEnd({
  role: isOpener ? 'opener' : 'acceptor',
  seed: v.seed,
  openerAt: endpointOf(v['opener-at']),
  acceptorAt: endpointOf(v['acceptor-at']),
  openerInner: prefixes(v['opener-inner']),
  acceptorInner: prefixes(v['acceptor-inner']),
  suites: [Number(v.suite) as SuiteId],
  underlayMtuBytes: Number(v.underlay),
  workers: v.workers === '' ? null : Number(v.workers),
  tun: {
    device: v.device,
    mtuBytes: Number(v.mtu),
    addresses: list(v.address),
    routes: list(v[isOpener ? 'acceptor-inner' : 'opener-inner']),
  },
  log: openLog({ level: 'info', format: 'text' }),
  onFail: (why) => {
    process.stderr.write(`${why.stack}\n`)
    process.exit(1)
  },
})
process.on('SIGUSR1', async () => {
  await end.host.refresh()
  say({
    counters: Object.fromEntries(end.counters.values),
    cells: [...end.cells.subarray(8 * end.path.row, 8 * end.path.row + 8)],
  })
})
process.on('SIGUSR2', () => {
  say({ blocked: 'begins' })
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000)
  say({ blocked: 'ends' })
})
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    void end.stop().then(() => process.exit(0))
  })
await end.opened
say({ ready: true, pid: process.pid, udpPort: end.host.udpPort })
