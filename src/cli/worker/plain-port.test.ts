import { expect, test } from 'vitest'
import { wire } from '#io/port-memory.ts'
import { checksumsHold, packet4, packet6, tcp, udp, viewOf } from '#ntm-lib/packet/build.ts'
import { TCP, UDP } from '#ntm-lib/packet/protocol.ts'
import { type Batch, batch, CSUM_MISSING, HEADROOM, slotAt, superBatch } from '#ntm-lib/ports/packet-port.ts'
import { segmentsOf } from '#test/support/segments.ts'
import { PlainPort } from './plain-port.ts'

const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 13) & 255)
const four = { source: 0xc6120005, destination: 0xc0000250 }
const six = { source: bytes(16), destination: bytes(17).slice(1) }

function segment(arena: Uint8Array, at: number, len: number, gso: number, into: Batch): number {
  const cut = segmentsOf(arena.slice(at, at + len), gso)
  if (cut.length > into.lens.length) return -1
  for (const [i, p] of cut.entries()) {
    into.arena.set(p, slotAt(into, i))
    into.lens[i] = p.length
  }
  return cut.length
}

/** Sends these from one arena; what comes out at the far end, and what the port says it sent. */
function sent(...packets: readonly (readonly [Uint8Array, number])[]): {
  readonly out: Uint8Array[]
  readonly n: number
} {
  const [near, far] = wire()
  const port = new PlainPort(near, segment)
  const arena = new Uint8Array(0x40000)
  const jobs = new Int32Array(3 * packets.length)
  let at = 100
  for (const [i, [p, gso]] of packets.entries()) {
    arena.set(p, at)
    jobs.set([at, p.length, gso], 3 * i)
    at += p.length
  }
  const n = port.sendSuper(arena, { jobs, count: packets.length })
  const into = batch(16, 10_240)
  const out: Uint8Array[] = []
  while (far.recv(into) > 0)
    for (let i = 0; i < into.count; i++)
      out.push(into.arena.slice(slotAt(into, i), slotAt(into, i) + (into.lens[i] ?? 0)))
  return { out, n }
}

test('super-packets leave as segments, in their place between plain packets', () => {
  const big = packet6({ ...six, protocol: TCP, payload: tcp(1, 2, 0x18, bytes(9000)) })
  const small = packet4({ ...four, protocol: UDP, payload: udp(1, 2, bytes(9)) })
  const { out, n } = sent([small, 0], [big, 1400], [small, 0])
  expect(n).toBe(3)
  expect(out).toEqual([small, ...segmentsOf(big, 1400), small])
})

test('a missing checksum is made', () => {
  for (const whole of [
    packet4({ ...four, protocol: UDP, payload: udp(1, 2, bytes(99)) }),
    packet6({ ...six, protocol: TCP, payload: tcp(1, 2, 2) }),
  ]) {
    const bare = whole.slice()
    viewOf(bare).setUint16((bare[0] ?? 0) >> 4 === 4 ? 26 : 56, 0x1234)
    const { out } = sent([bare, CSUM_MISSING])
    expect(out).toEqual([whole])
    expect(out.every(checksumsHold)).toBe(true)
  }
})

test('more than one batch holds goes in several; what cannot be cut or is too long is not sent', () => {
  const p = packet4({ ...four, protocol: UDP, payload: udp(1, 2, bytes(20)) })
  expect(sent(...Array.from({ length: 200 }, () => [p, 0] as const))).toMatchObject({ n: 200, out: Array(200).fill(p) })
  const wide = packet4({ ...four, protocol: UDP, payload: udp(1, 2, bytes(3000)) })
  expect(sent([wide, 10], [p, 0])).toEqual({ n: 1, out: [p] })
  expect(sent([packet4({ ...four, protocol: 253, payload: bytes(10_240 - HEADROOM) }), 0], [p, 0]).out).toEqual([p])
})

test('what is read is plain', () => {
  const [near, far] = wire()
  const port = new PlainPort(near, segment)
  const from = batch(2, 2048)
  for (const i of [0, 1]) {
    from.arena.set(bytes(40 + i), slotAt(from, i))
    from.lens[i] = 40 + i
  }
  from.count = 2
  far.send(from)
  const into = superBatch(4, 2048)
  into.gso.fill(9)
  expect([port.recvSuper(into), ...into.gso, into.lens[1]]).toEqual([2, 0, 0, 9, 9, 41])
})
