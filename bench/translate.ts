/*
 * The terminator's packet loop without tunnels: what is measured beside other translators (tayga).
 *   node bench/translate.ts --host V4,V6 --server V4,V6,REAL [--server …] [--inside NAME] [--edge NAME] [--mtu BYTES]
 * `--host`: the host's address as it is, and what stands for it on the other side. `--server`: the addresses that the host may use for a
 * server, and its real one. Packets to the former are routed into `--inside`, answers to what stands for the host into `--edge`; both TUN
 * devices are made and brought up here, with offloads, and the routes with them. Forwarding is the caller's. Prints a line of JSON: `{"ready":true,…}` when packets may pass,
 * counters on SIGUSR1.
 */
import { parseArgs } from 'node:util'
import { TtWire } from '#cli/worker/tt-wire.ts'
import { systemClock } from '#io/clock.ts'
import { ipBatch } from '#io/links.ts'
import { packetIo } from '#io/native.ts'
import { openTun } from '#io/packet-native.ts'
import { type Ip, ipText, isIp4, parseIp, sameIp } from '#ntm-lib/addr/ip.ts'
import { parsePrefix } from '#ntm-lib/addr/prefix.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import { seconds } from '#ntm-lib/base/time.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { HEADROOM, type Outgoing, superBatch } from '#ntm-lib/ports/packet-port.ts'
import { EgressPolicy } from '#tt/egress.ts'
import { newFlowNode } from '#tt/flow-node.ts'
import { TranslationTable } from '#tt/translation-table.ts'

const { values: v } = parseArgs({
  options: {
    host: { type: 'string', default: '198.18.0.5,fd00:1:2::5' },
    server: { type: 'string', multiple: true, default: [] },
    inside: { type: 'string', default: 'xlat0' },
    edge: { type: 'string', default: 'xlat1' },
    mtu: { type: 'string', default: '1500' },
  },
})
const mtu = Number(v.mtu)
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`)

function address(text: string | undefined): Ip {
  const ip = parseIp(text ?? '')
  if (ip === null) throw new Error(`no address: ${text}`)
  return ip
}
function pair(texts: readonly string[]): VirtualPair {
  const [vip4, vip6] = texts.map(address)
  if (vip4 === undefined || vip6 === undefined || !isIp4(vip4) || isIp4(vip6)) throw new Error(`no pair: ${texts}`)
  return { vip4, vip6 }
}
function prefix(text: string): NonNullable<ReturnType<typeof parsePrefix>> {
  const p = parsePrefix(text)
  if (p === null) throw new Error(`no prefix: ${text}`)
  return p
}

const counters = new CounterMap()
const host = pair(v.host.split(','))
const inside = openTun(v.inside, { offloads: true })
const edge = openTun(v.edge, { offloads: true })

const servers = v.server.map((text) => ({ pair: pair(text.split(',')), real: address(text.split(',')[2]) }))
const everything = [prefix('0.0.0.0/0'), prefix('::/0')]
const table = new TranslationTable(servers.length)
for (const [i, { pair: virtual, real }] of servers.entries()) {
  const entry = table.install('host', `server${i}.example`, virtual, [real], seconds(86_400), systemClock.now())
  if (typeof entry === 'string') throw new Error(entry)
}

/** What would be sealed goes back to the host instead. */
const toHost: Outgoing & { count: number } = { jobs: new Int32Array(3 * 256), count: 0 }
let arena = new Uint8Array(0)
const wire = new TtWire({
  edge,
  plane: {
    put: (_row, memory, at, len, gso) => {
      arena = memory.arena as Uint8Array<ArrayBuffer>
      toHost.jobs[3 * toHost.count] = at
      toHost.jobs[3 * toHost.count + 1] = len
      toHost.jobs[3 * toHost.count + 2] = gso
      if (++toHost.count === 256) flush()
      return 'queued'
    },
    flush: () => flush(),
    innerMtu: () => mtu,
  },
  table,
  egress: new EgressPolicy({ allow: everything, deny: [], own: [], subnets: [], virtual: [] }),
  counters,
  clock: systemClock,
  virtual: {
    nodes4: prefix('198.18.0.0/16'),
    servers4: prefix('198.19.0.0/16'),
    nodes6: prefix('fd00:1:2::/48'),
    servers6: prefix('fd00:1:3::/64'),
  },
  uplinkMtuBytes: mtu,
  kernelSpendsHop: true,
  seed: 7,
  watch: null,
  segment: (from, at, len, gso, into) =>
    packetIo().segment(from, at, len, gso, 65_535, into.arena, into.slotBytes, HEADROOM, into.lens),
})
function flush(): void {
  if (toHost.count > 0) inside.sendSuper(arena, toHost)
  toHost.count = 0
}

const node = newFlowNode('host')
node.via = 1
const customer = {
  node,
  pairOf: (ip: Ip) => (sameIp(ip, host.vip4) || sameIp(ip, host.vip6) ? host : null),
}
const fromHost = superBatch(32)
inside.onReadable(() => {
  for (let round = 0; round < 4; round++) {
    const n = inside.recvSuper(fromHost)
    const now = systemClock.now()
    for (let i = 0; i < n; i++) wire.fromTunnel(1, customer, fromHost, i, now)
    wire.afterOpen(now)
    if (n < fromHost.lens.length) return
  }
})

await ipBatch([v.inside, v.edge].flatMap((d) => [`link set ${d} addrgenmode none`, `link set ${d} mtu ${mtu} up`]))
await ipBatch([
  ...servers.flatMap(({ pair: s }) => [s.vip4, s.vip6]).map((ip) => `route replace ${ipText(ip)} dev ${v.inside}`),
  // The host as the servers know it; in its own family it has a route already.
  ...servers.map(({ real }) => `route replace ${ipText(isIp4(real) ? host.vip4 : host.vip6)} dev ${v.edge}`),
])

process.on('SIGUSR1', () =>
  say({ counters: Object.fromEntries(counters.values), inside: inside.counters, edge: edge.counters }),
)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(0))
setInterval(() => wire.tick(systemClock.now()), 10_000)
say({ ready: true, pid: process.pid })
