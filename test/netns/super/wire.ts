import { type InterfacePort, openPacketSocket, openTap, openTun } from '#io/packet-native.ts'
import { CSUM_MISSING, type Outgoing, slotAt, superBatch } from '#ntm-lib/ports/packet-port.ts'

/**
 *   wire.ts tun|tap|packet A B [tag]     carries everything between two ports, super-packets whole, with recvSuper and sendSuper
 *
 * With `tag` frames get VLAN 7 on their way from A to B, put into the headroom, and lose it on their way back.
 * Says `wire.ready` and the offloads. On SIGTERM prints what was carried and the counters of both ports as JSON, and ends.
 */
const [kind = '', a = '', b = '', tag] = process.argv.slice(2)

function open(name: string): InterfacePort {
  if (kind === 'tun') return openTun(name, { offloads: true })
  if (kind === 'tap') return openTap(name, { offloads: true })
  return openPacketSocket(name, { promiscuous: true, bufferBytes: 64 << 20 })
}

const ports = [open(a), open(b)]
/** `tcp` and `udp` are super-packets. */
const carried = { plain: 0, missing: 0, tcp: 0, udp: 0, longest: 0 }
const gone: string[] = []
const batch = superBatch(32)
const jobs: Outgoing = { jobs: new Int32Array(3 * 32), count: 0 }

function carry(from: InterfacePort, to: InterfacePort): void {
  // A bounded turn: the other direction waits too.
  for (let round = 0; round < 4 && from.recvSuper(batch) > 0; round++) {
    for (let i = 0; i < batch.count; i++) {
      const [len = 0, gso = 0] = [batch.lens[i], batch.gso[i]]
      const grown = tag === undefined ? 0 : from === ports[0] ? pushTag(slotAt(batch, i)) : popTag(slotAt(batch, i))
      if (gso !== 0) spoilChecksum(slotAt(batch, i) - grown)
      jobs.jobs.set([slotAt(batch, i) - grown, len + grown, gso], 3 * i)
      carried[
        gso === 0 ? 'plain' : gso === CSUM_MISSING ? 'missing' : isTcp(slotAt(batch, i) - grown) ? 'tcp' : 'udp'
      ]++
      carried.longest = Math.max(carried.longest, len)
    }
    jobs.count = batch.count
    to.sendSuper(batch.arena, jobs)
  }
}

/** Where the IP header of a packet at `at` starts. */
const ipAt = (at: number): number =>
  kind === 'tun' ? at : batch.view.getUint16(at + 12) === 0x8100 ? at + 18 : at + 14

function isTcp(at: number): boolean {
  const ip = ipAt(at)
  return batch.arena[ip + ((batch.arena[ip] ?? 0) >> 4 === 4 ? 9 : 6)] === 6
}

/** What the field holds means nothing: it is ours to spoil. */
function spoilChecksum(at: number): void {
  const ip = ipAt(at)
  const transport = ip + ((batch.arena[ip] ?? 0) >> 4 === 4 ? 4 * ((batch.arena[ip] ?? 0) & 15) : 40)
  batch.view.setUint16(transport + (isTcp(at) ? 16 : 6), 0xdead)
}

/** Both return by how much the frame grew, at its front. */
function pushTag(at: number): number {
  batch.arena.copyWithin(at - 4, at, at + 12)
  batch.arena.set([0x81, 0x00, 0x00, 0x07], at + 8)
  return 4
}

function popTag(at: number): number {
  if (batch.view.getUint32(at + 12) !== 0x8100_0007) return 0
  batch.arena.copyWithin(at + 4, at, at + 12)
  return -4
}

for (const [i, port] of ports.entries()) {
  port.onGone(() => gone.push(port.name))
  port.onReadable(() => carry(port, ports[1 - i] as InterfacePort))
}
process.on('SIGTERM', () => {
  const told = { carried, gone, counters: ports.map((p) => p.counters), rss: process.memoryUsage().rss }
  process.stdout.write(`${JSON.stringify(told)}\n`, () => process.exit(0))
})
process.stdout.write(`wire.ready ${ports.map((p) => p.offloads).join(' ')}\n`)
