// BridgeCore on a real wire, in the bridge's namespace. The coordinator and the far end of the tunnel are played here: a
// direction takes 20 ms, and the tunnel reflects UDP. Says "ready", then answers each line on stdin with its counters.

import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { BridgeCore } from '#bridge/core.ts'
import { LEARN_FILTER } from '#bridge/learn-filter.ts'
import { divertScript, guardScript, refreshScript } from '#bridge/ruleset.ts'
import { applyNft, OwnedTables } from '#io/nft.ts'
import { openPacketSocket, openTap } from '#io/packet-native.ts'
import { run } from '#io/run.ts'
import { ip4FromWord, parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { parseIp6 } from '#ntm-lib/addr/ip6.ts'
import { instant } from '#ntm-lib/base/time.ts'
import { delta32 } from '#ntm-lib/packet/checksum.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { batch, type PacketPort, slotAt, superBatch } from '#ntm-lib/ports/packet-port.ts'
import { PLAN } from './bridge-rules-frames.ts'

const SERVER4 = parseIp4('198.19.0.7') ?? ip4FromWord(0)
const SERVER6 = parseIp6('fd12:3456:789b:1::7') ?? new Uint8Array(16)
const HOST4 = parseIp4('198.18.0.9') ?? ip4FromWord(0)
const HOST6 = parseIp6('fd12:3456:789a::9') ?? new Uint8Array(16)

const counters = new CounterMap()
const now = () => instant(performance.now())
const config = { box: PLAN.box, virtual: PLAN.virtual, holdMillis: 2000 }
const core = new BridgeCore(config, { bytes: (n) => randomBytes(n) }, counters)
const tap = openTap('ntmx0')
await run('ip', ['link', 'set', 'ntmx0', 'up'])
const out = { host: openPacketSocket('host0', { receive: false }), net: openPacketSocket('net0', { receive: false }) }
const into = superBatch(64, 2048)
const one = batch(1, 2048)
let timer: NodeJS.Timeout | undefined

for (const [leg, dev] of [
  ['host', 'host0'],
  ['net', 'net0'],
] as const) {
  const learner = openPacketSocket(dev, { filter: LEARN_FILTER })
  learner.onReadable(() => {
    while (learner.recv(into) > 0) for (let i = 0; i < into.count; i++) core.learn(leg, into, i, now())
    settle()
  })
}
tap.onReadable(() => {
  while (tap.recv(into) > 0) for (let i = 0; i < into.count; i++) judge(i)
  settle()
})
const tables = new OwnedTables()
await applyNft(guardScript(PLAN))
await tables.run(divertScript(PLAN))
await tables.run(refreshScript(PLAN))
setInterval(() => void tables.run(refreshScript(PLAN)), 1000)
core.handle({ in: 'tunnel-mtu', tunnel: 1, innerBytes: 1400, wholeBytes: 1400 }, now())
process.stdout.write('ready\n')
createInterface({ input: process.stdin })
  .on('line', () => process.stdout.write(`${JSON.stringify(Object.fromEntries(counters.values))}\n`))
  .on('close', () => process.exit(0))

function judge(i: number): void {
  const verdict = core.fromTap(into, i, now())
  counters.count(`verdict.${verdict}`)
  const at = slotAt(into, i)
  const len = into.lens[i] ?? 0
  if (verdict === 'to-net' || verdict === 'to-host') inject(verdict, into.arena.subarray(at, at + len))
  if (verdict === 'to-tunnel') reflect(into.view, core.toTunnel.at, core.toTunnel.len)
}

/** The server at the tunnel's end sends every UDP datagram back. */
function reflect(v: DataView, at: number, len: number): void {
  const [source, destination] = [v.getUint32(at + 12), v.getUint32(at + 16)]
  v.setUint32(at + 12, destination)
  v.setUint32(at + 16, source)
  const ports = v.getUint32(at + 20)
  v.setUint32(at + 20, ((ports << 16) | (ports >>> 16)) >>> 0)
  // Nothing summed has changed, only its order; one delta of nothing proves that the checksum is still a checksum.
  v.setUint16(at + 26, delta32(v.getUint16(at + 26), 0, 0))
  const verdict = core.fromTunnel(v, at, len, 0, now())
  counters.count(`tunnel.${verdict}`)
  if (verdict === 'to-host') {
    const { at: start, len: bytes } = core.toHost
    inject('to-host', new Uint8Array(v.buffer, v.byteOffset + start, bytes))
  }
}

function inject(where: 'to-net' | 'to-host', frame: Uint8Array): void {
  const port: PacketPort = where === 'to-net' ? out.net : out.host
  one.arena.set(frame, slotAt(one, 0))
  one.lens[0] = frame.length
  one.count = 1
  port.send(one)
}

function settle(): void {
  for (let o = core.poll(); o !== null; o = core.poll()) {
    counters.count(`out.${o.out}`)
    if (o.out === 'to-net' || o.out === 'to-host') inject(o.out, o.frame)
    else if (o.out === 'claim-hosts')
      core.handle(
        { in: 'granted', hosts: o.hosts.map((h) => ({ host: h.host, vip4: HOST4, vip6: HOST6 as never })) },
        now(),
      )
    else if (o.out === 'direct') {
      const { id } = o
      setTimeout(() => {
        const result = { ok: true, vip4: SERVER4, vip6: SERVER6 as never, ttlSeconds: 60, tunnel: 1 } as const
        core.handle({ in: 'directed', id, result }, now())
        settle()
      }, 20)
    } else if (o.out === 'to-tunnel') {
      const copy = new Uint8Array(64 + o.packet.length)
      copy.set(o.packet, 64)
      reflect(new DataView(copy.buffer), 64, o.packet.length)
    }
  }
  clearTimeout(timer)
  const due = core.deadline()
  if (due === null) return
  timer = setTimeout(
    () => {
      core.tick(now())
      settle()
    },
    Math.max(1, due - now()),
  )
}
