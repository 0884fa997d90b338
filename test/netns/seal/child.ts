// Seals, opens, joins and cuts packets of every kind in one process, whole and damaged, for runs under sanitizers.
import fc from 'fast-check'
import { type Opening, TestEngine } from './engine.ts'
import { packet, somePacket } from './packets.ts'

const engine = new TestEngine()
const damage = fc.array(fc.tuple(fc.nat(119), fc.nat(255)), { maxLength: 3 })
const size = fc.oneof(fc.nat(40), fc.nat(4000), fc.integer({ min: 60_000, max: 64_000 }))
const gso = fc.oneof(fc.constant(0), fc.integer({ min: 30, max: 3000 }), fc.constant(0xffff), fc.nat(0xffff))
const parts = fc.array(fc.tuple(somePacket(size), gso, damage, fc.nat(2)), { minLength: 1, maxLength: 6 })
const told = { sealed: 0, opened: 0, joined: 0, refused: 0, coalesced: 0, cut: 0 }

fc.assert(
  fc.property(
    parts,
    fc.constantFrom(0, 1, 2),
    fc.nat(40),
    fc.integer({ min: 200, max: 70_000 }),
    (plans, suite, bad, most) => {
      engine.key(0, suite as 0 | 1 | 2)
      const packets = plans.map(([plan, , damages]) => {
        const bytes = packet(plan)
        for (const [at, byte] of damages) bytes[at % bytes.length] = byte
        return bytes
      })
      const jobs = packets.map((p, i) => ({ packet: p, gso: plans[i]?.[1] ?? 0, row: plans[i]?.[3] ?? 0, most }))
      const wire: Opening[] = []
      for (let first = 0; first < jobs.length; ) {
        const { jobs: n, datagrams } = engine.seal(jobs, { first, outBytes: 400_000, runRoom: 2 })
        first += n
        wire.push(...datagrams.map((datagram) => ({ datagram })))
      }
      told.sealed += wire.length
      const forged = wire[bad]?.datagram
      if (forged !== undefined) forged[bad % forged.length] = (forged[bad % forged.length] ?? 0) ^ 4
      for (let first = 0; first < wire.length; ) {
        const opened = engine.open(wire, { first, slots: 16, most: Math.min(most, 65_535) })
        first += opened.jobs
        told.opened += opened.slots.length
        told.joined += opened.slots.filter((s) => s.gso !== 0).length
        told.refused += opened.status.filter((s) => s < 0).length
        told.coalesced += coalesce(opened.slots.map((s) => s.bytes))
      }
      const lens = new Uint32Array(16)
      for (const [i, p] of packets.entries())
        told.cut += Math.max(
          0,
          engine.io.segment(p, 0, p.length, plans[i]?.[1] ?? 0, most, new Uint8Array(16 * 5000), 5000, 9, lens),
        )
    },
  ),
  {
    numRuns: Number(process.argv[2] ?? 100),
    ...(process.argv[3] === undefined ? {} : { seed: Number(process.argv[3]) }),
  },
)
process.stdout.write(`${JSON.stringify(told)}\n`)

/** Laid out with the room of twice the packet, so that some find none. */
function coalesce(packets: readonly Uint8Array[]): number {
  const room = 2 * Math.max(40, ...packets.map((p) => p.length))
  const [arena, jobs] = [new Uint8Array(room * packets.length), new Int32Array(3 * packets.length)]
  for (const [i, p] of packets.entries()) {
    arena.set(p, i * room)
    jobs.set([i * room, p.length, 0], 3 * i)
  }
  return packets.length - engine.io.coalesce(arena, jobs, packets.length, room, 65_000)
}
