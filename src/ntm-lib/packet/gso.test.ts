import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CSUM_MISSING } from '../ports/packet-port.ts'
import { checksumsHold, packet4, packet6, tcp, udp, viewOf } from './build.ts'
import { fillTransport, fitted, isSuper, segmentCount, transportBytes } from './gso.ts'
import { ICMP4, TCP, UDP } from './protocol.ts'

const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 11) & 255)
const ends = { source: 0xc6120005, destination: 0xc0000250 }
const ends6 = { source: bytes(16), destination: bytes(17).slice(1) }

test('what counts as a super-packet', () => {
  expect([0, 1, 1448, 65_534, CSUM_MISSING].map(isSuper)).toEqual([false, true, true, true, false])
  expect([0, 1, 1000, 1001, 65_000].map((n) => segmentCount(n, 1000))).toEqual([1, 1, 1, 2, 65])
})

test('header lengths, and what is no header', () => {
  const t = viewOf(tcp(1, 2, 0x10, bytes(4), new Uint8Array(12)))
  expect([transportBytes(t, TCP, 0, 36), transportBytes(t, TCP, 0, 31), transportBytes(t, TCP, 0, 19)]).toEqual([
    32, -1, -1,
  ])
  t.setUint8(12, 0x40)
  expect(transportBytes(t, TCP, 0, 36)).toBe(-1)
  expect([transportBytes(t, UDP, 0, 8), transportBytes(t, UDP, 0, 7), transportBytes(t, ICMP4, 0, 36)]).toEqual([
    8, -1, -1,
  ])
})

test('TCP segments are made as small as the link wants, UDP’s stay or do not fit', () => {
  const t = viewOf(tcp(1, 2, 0x10, bytes(3000)))
  expect(fitted(t, TCP, 0, 3020, 1460, 20, 1500)).toBe(1460)
  expect(fitted(t, TCP, 0, 3020, 1460, 40, 1500)).toBe(1440)
  expect(fitted(t, TCP, 0, 3020, 1460, 40, 60)).toBe(-1)
  const u = viewOf(udp(1, 2, bytes(3000)))
  expect(fitted(u, UDP, 0, 3008, 1472, 20, 1500)).toBe(1472)
  expect(fitted(u, UDP, 0, 3008, 1473, 20, 1500)).toBe(-1)
  // One datagram that is shorter than what it might have been.
  expect(fitted(u, UDP, 0, 108, 1473, 20, 1500)).toBe(1473)
  expect(fitted(u, ICMP4, 0, 108, 50, 20, 1500)).toBe(-1)
})

test('a missing checksum is the one that the packet should have had', () => {
  fc.assert(
    fc.property(fc.boolean(), fc.constantFrom(TCP, UDP), fc.nat(1400), fc.nat(0xffff), (four, protocol, n, junk) => {
      const payload = protocol === TCP ? tcp(7, 8, 0x18, bytes(n)) : udp(7, 8, bytes(n))
      const p = four ? packet4({ ...ends, protocol, payload }) : packet6({ ...ends6, protocol, payload })
      const want = p.slice()
      const at = (four ? 20 : 40) + (protocol === TCP ? 16 : 6)
      viewOf(p).setUint16(at, junk)
      fillTransport(viewOf(p), 0, p.length)
      expect(p).toEqual(want)
      expect(checksumsHold(p)).toBe(true)
    }),
  )
})

test('what has no such checksum, or is cut off before it, is left alone', () => {
  for (const p of [
    packet4({ ...ends, protocol: ICMP4, payload: bytes(40) }, false),
    packet4({ ...ends, protocol: TCP, payload: bytes(17) }, false),
    packet6({ ...ends6, protocol: UDP, payload: bytes(7) }, false),
  ]) {
    const before = p.slice()
    fillTransport(viewOf(p), 0, p.length)
    expect(p).toEqual(before)
  }
})
