import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseIp4 } from '../addr/ip4.ts'
import { parseIp6 } from '../addr/ip6.ts'
import { parseLink } from '../addr/link.ts'
import { concat } from '../base/bytes.ts'
import * as arp from './arp.ts'
import { checksumsHold, icmp, packet4, packet6, tcp, udp, viewOf } from './build.ts'
import { clampMss } from './clamp.ts'
import { newFrame, readFrame, write as writeEther } from './ether.ts'
import { newUpper, upperLayer } from './extension.ts'
import { newFiveTuple, readTuple, tupleHash } from './five-tuple.ts'
import { mayAnswer, writeError4, writeError6 } from './icmp-error.ts'
import { validInner } from './inner.ts'
import * as ndp from './ndp.ts'
import { ICMP4, ICMP6, TCP, UDP } from './protocol.ts'

const A = parseIp4('192.0.2.1')!
const B = parseIp4('198.51.100.9')!
const A6 = parseIp6('2001:db8::1')!
const B6 = parseIp6('2001:db8::9')!

test.each([
  ['MSS first', Uint8Array.of(2, 4, 0x05, 0xb4)],
  ['MSS at an odd offset', Uint8Array.of(1, 2, 4, 0x05, 0xb4, 1, 1, 0)],
  ['MSS behind others', Uint8Array.of(4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 2, 4, 0x05, 0xb4)],
])('clamp: %s, both families, SYN and SYN-ACK', (_, options) => {
  for (const flags of [0x02, 0x12]) {
    const segment = (): Uint8Array => tcp(1, 2, flags, new Uint8Array(0), options)
    for (const p of [
      packet4({ source: A, destination: B, protocol: TCP, payload: segment() }),
      packet6({ source: A6, destination: B6, protocol: TCP, payload: segment() }),
    ]) {
      expect(clampMss(viewOf(p), 0, p.length, 1200)).toBe(true)
      expect(checksumsHold(p)).toBe(true)
      expect(clampMss(viewOf(p), 0, p.length, 1200)).toBe(false)
      expect(clampMss(viewOf(p), 0, p.length, 1300)).toBe(false)
    }
  }
})

test('clamp: leaves alone what is no SYN, has no MSS, a broken one, or is a later fragment', () => {
  const mss = Uint8Array.of(2, 4, 5, 0xb4)
  const cases = [
    packet4({ source: A, destination: B, protocol: TCP, payload: tcp(1, 2, 0x10, mss, mss) }),
    packet4({ source: A, destination: B, protocol: TCP, payload: tcp(1, 2, 0x02) }),
    packet4({ source: A, destination: B, protocol: TCP, payload: tcp(1, 2, 0x02, mss, Uint8Array.of(2, 3, 5, 0xb4)) }),
    packet4({ source: A, destination: B, protocol: TCP, payload: tcp(1, 2, 0x02, mss, Uint8Array.of(8, 0, 2, 4)) }),
    packet4({ source: A, destination: B, protocol: TCP, payload: tcp(1, 2, 0x02, mss, mss), offset: 1 }),
    packet4({ source: A, destination: B, protocol: TCP, payload: tcp(1, 2, 0x02, mss, mss) }).slice(0, 39),
  ]
  for (const p of cases) {
    const before = p.slice()
    expect(clampMss(viewOf(p), 0, p.length, 500)).toBe(false)
    expect(p).toEqual(before)
  }
})

test('validInner names what is wrong', () => {
  const good = packet4({ source: A, destination: B, protocol: UDP, payload: udp(1, 2, new Uint8Array(4)) })
  const check = (p: Uint8Array): string => validInner(viewOf(p), 0, p.length)
  expect(check(good)).toBe('ok')
  expect(check(packet6({ source: A6, destination: B6, protocol: UDP, payload: udp(1, 2, new Uint8Array(4)) }))).toBe(
    'ok',
  )
  expect(check(good.slice(0, 19))).toBe('short')
  expect(check(good.slice(0, 30))).toBe('bad-length')
  expect(check(concat(good, Uint8Array.of(0)))).toBe('bad-length')
  expect(check(Uint8Array.from(good, (b, i) => (i === 0 ? 0x44 : b)))).toBe('bad-length')
  expect(check(Uint8Array.from(good, (b, i) => (i === 0 ? 0x55 : b)))).toBe('bad-version')
  const option = (...options: number[]): Uint8Array =>
    packet4({
      source: A,
      destination: B,
      protocol: UDP,
      payload: udp(1, 2, new Uint8Array(0)),
      options: Uint8Array.from(options),
    })
  expect(check(option(131, 7, 4, 1, 2, 3, 4, 0))).toBe('source-route')
  expect(check(option(137, 7, 8, 1, 2, 3, 4, 0))).toBe('ok')
  expect(check(option(1, 1, 131, 0))).toBe('bad-length')
  expect(check(option(148, 4, 0, 0))).toBe('ok')
  const six = (firstNext: number, ...bytes: number[]): Uint8Array =>
    packet6({
      source: A6,
      destination: B6,
      protocol: UDP,
      payload: udp(1, 2, new Uint8Array(4)),
      extensions: { firstNext, bytes: Uint8Array.from(bytes) },
    })
  expect(check(six(43, 17, 0, 0, 1, 0, 0, 0, 0))).toBe('source-route')
  expect(check(six(60, 43, 0, 1, 4, 0, 0, 0, 0, 17, 0, 4, 1, 0, 0, 0, 0))).toBe('source-route')
  expect(check(six(43, 17, 0, 0, 0, 0, 0, 0, 0))).toBe('ok')
  expect(check(six(60, 17, 9, 0, 0, 0, 0, 0, 0))).toBe('bad-length')
})

test('extension headers are walked to the upper layer, within bounds', () => {
  const hop = (next: number): Uint8Array => Uint8Array.of(next, 0, 1, 4, 0, 0, 0, 0)
  const out = newUpper()
  const payload = udp(1, 2, new Uint8Array(3))
  const p = packet6({
    source: A6,
    destination: B6,
    protocol: UDP,
    payload,
    extensions: { firstNext: 0, bytes: concat(hop(60), hop(17)) },
  })
  expect(upperLayer(viewOf(p), 0, p.length, out)).toBe(true)
  expect([out.protocol, out.at, out.fragmentAt, out.segmentsLeftAt]).toEqual([UDP, 56, -1, -1])
  const routed = packet6({
    source: A6,
    destination: B6,
    protocol: UDP,
    payload,
    extensions: { firstNext: 43, bytes: Uint8Array.of(17, 0, 0, 2, 0, 0, 0, 0) },
  })
  upperLayer(viewOf(routed), 0, routed.length, out)
  expect(out.segmentsLeftAt).toBe(43)
  const long = packet6({
    source: A6,
    destination: B6,
    protocol: UDP,
    payload,
    extensions: { firstNext: 60, bytes: concat(...Array.from({ length: 39 }, () => hop(60)), hop(17)) },
  })
  expect(upperLayer(viewOf(long), 0, long.length, out)).toBe(false)
  const cut = packet6({
    source: A6,
    destination: B6,
    protocol: UDP,
    payload: new Uint8Array(0),
    extensions: { firstNext: 60, bytes: Uint8Array.of(17, 9, 0, 0, 0, 0, 0, 0) },
  })
  expect(upperLayer(viewOf(cut), 0, cut.length, out)).toBe(false)
  const later = packet6({
    source: A6,
    destination: B6,
    protocol: UDP,
    payload,
    fragment: { offset: 3, more: false, id: 7 },
  })
  expect(upperLayer(viewOf(later), 0, later.length, out)).toBe(true)
  expect(out.fragmentAt).toBe(40)
})

test('tuples name ports, echo identifiers, fragments and errors', () => {
  const t = newFiveTuple()
  const read = (p: Uint8Array): boolean => readTuple(viewOf(p), 0, p.length, t)
  expect(read(packet4({ source: A, destination: B, protocol: TCP, payload: tcp(1024, 80, 2) }))).toBe(true)
  expect([t.sourcePort, t.destinationPort, t.fragment, t.icmpError]).toEqual([1024, 80, 'whole', false])
  read(packet6({ source: A6, destination: B6, protocol: ICMP6, payload: icmp(128, 0, 0x00770001) }))
  expect([t.sourcePort, t.destinationPort]).toEqual([0x77, 0x77])
  read(packet4({ source: A, destination: B, protocol: ICMP4, payload: icmp(3, 1, 0, new Uint8Array(28)) }))
  expect([t.sourcePort, t.icmpError]).toEqual([0, true])
  read(packet4({ source: A, destination: B, protocol: UDP, payload: new Uint8Array(8), id: 9, offset: 4 }))
  expect([t.fragment, t.fragmentId, t.sourcePort]).toEqual(['later', 9, 0])
  expect(read(packet4({ source: A, destination: B, protocol: UDP, payload: new Uint8Array(7) }))).toBe(false)
})

test('tuple hashes differ by direction and seed and fit a small integer', () => {
  const [there, back] = [newFiveTuple(), newFiveTuple()]
  const p = packet4({ source: A, destination: B, protocol: UDP, payload: udp(1, 2, new Uint8Array(0)) })
  const q = packet4({ source: B, destination: A, protocol: UDP, payload: udp(2, 1, new Uint8Array(0)) })
  readTuple(viewOf(p), 0, p.length, there)
  readTuple(viewOf(q), 0, q.length, back)
  const h = tupleHash(viewOf(p), there, 1)
  expect(h).toBe(tupleHash(viewOf(p.slice()), there, 1))
  expect(h).not.toBe(tupleHash(viewOf(q), back, 1))
  expect(h).not.toBe(tupleHash(viewOf(p), there, 2))
  expect(h >= 0 && h < 2 ** 30).toBe(true)
})

test('ICMP errors quote the packet, have valid checksums and fit their limits', () => {
  const out = new Uint8Array(2000)
  const p4 = packet4({ source: A, destination: B, protocol: UDP, payload: udp(1, 2, new Uint8Array(1400)) })
  const n4 = writeError4(viewOf(out), 100, 1800, B, 3, 4, 1280, viewOf(p4), 0, p4.length)
  expect(n4).toBe(576)
  expect(checksumsHold(out.slice(100, 100 + n4))).toBe(true)
  expect(validInner(viewOf(out), 100, n4)).toBe('ok')
  const p6 = packet6({ source: A6, destination: B6, protocol: UDP, payload: udp(1, 2, new Uint8Array(1400)) })
  const n6 = writeError6(viewOf(out), 100, 1800, viewOf(B6), 0, 2, 0, 1280, viewOf(p6), 0, p6.length)
  expect(n6).toBe(1280)
  expect(checksumsHold(out.slice(100, 100 + n6))).toBe(true)
  expect(out.slice(148, 148 + 100)).toEqual(p6.slice(0, 100))
})

test('nobody is sent an error about an error, a later fragment or a group', () => {
  const may = (p: Uint8Array): boolean => mayAnswer(viewOf(p), 0, p.length)
  const u = udp(1, 2, new Uint8Array(8))
  expect(may(packet4({ source: A, destination: B, protocol: UDP, payload: u }))).toBe(true)
  expect(may(packet4({ source: A, destination: B, protocol: ICMP4, payload: icmp(8, 0, 0) }))).toBe(true)
  expect(may(packet4({ source: A, destination: B, protocol: ICMP4, payload: icmp(11, 0, 0) }))).toBe(false)
  expect(may(packet4({ source: A, destination: B, protocol: UDP, payload: u, offset: 1 }))).toBe(false)
  expect(may(packet4({ source: A, destination: parseIp4('224.0.0.1')!, protocol: UDP, payload: u }))).toBe(false)
  expect(may(packet4({ source: parseIp4('0.0.0.0')!, destination: B, protocol: UDP, payload: u }))).toBe(false)
  expect(may(packet6({ source: A6, destination: B6, protocol: UDP, payload: u }))).toBe(true)
  expect(may(packet6({ source: A6, destination: B6, protocol: ICMP6, payload: icmp(1, 0, 0) }))).toBe(false)
  expect(may(packet6({ source: A6, destination: parseIp6('ff02::1')!, protocol: UDP, payload: u }))).toBe(false)
})

test('frames: VLAN tags are passed over, a third is refused', () => {
  const [to, from] = [parseLink('02:00:00:00:00:01')!, parseLink('fe:dc:ba:98:76:54')!]
  const head = new Uint8Array(14)
  writeEther(viewOf(head), 0, to, from, 0x0800)
  const out = newFrame()
  expect(readFrame(viewOf(head), 0, 14, out)).toBe(true)
  expect(out).toEqual({ type: 0x0800, payloadAt: 14, tags: 0, tci: 0 })
  expect(head.slice(0, 12)).toEqual(Uint8Array.of(2, 0, 0, 0, 0, 1, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54))
  const tag = Uint8Array.of(0x81, 0x00, 0x60, 0x07)
  const tagged = concat(head.slice(0, 12), Uint8Array.of(0x88, 0xa8, 0, 9), tag, head.slice(12))
  expect(readFrame(viewOf(tagged), 0, tagged.length, out)).toBe(true)
  expect(out).toEqual({ type: 0x0800, payloadAt: 22, tags: 2, tci: 9 })
  const three = concat(head.slice(0, 12), tag, tag, tag, head.slice(12))
  expect(readFrame(viewOf(three), 0, three.length, out)).toBe(false)
  expect(readFrame(viewOf(tagged), 0, 16, out)).toBe(false)
})

test('ARP is read as written, other hardware is not ARP to us', () => {
  const b = new Uint8Array(28)
  const a = {
    operation: arp.REPLY,
    senderLink: parseLink('02:00:00:00:00:01')!,
    senderIp: A,
    targetLink: parseLink('02:00:00:00:00:02')!,
    targetIp: B,
  }
  arp.write(viewOf(b), 0, a)
  const v = viewOf(b)
  expect(arp.isArp(v, 0, 28)).toBe(true)
  expect({
    operation: arp.operation(v, 0),
    senderLink: arp.senderLink(v, 0),
    senderIp: arp.senderIp(v, 0),
    targetLink: arp.targetLink(v, 0),
    targetIp: arp.targetIp(v, 0),
  }).toEqual(a)
  b[1] = 6
  expect(arp.isArp(v, 0, 28)).toBe(false)
  expect(arp.isArp(v, 0, 27)).toBe(false)
})

test('a neighbour advertisement carries target, link address and a valid checksum', () => {
  const link = parseLink('02:00:00:00:00:09')!
  const b = new Uint8Array(ndp.ADVERTISEMENT_PACKET_BYTES)
  ndp.writeAdvertisement(viewOf(b), 0, { source: A6, destination: B6, target: A6, targetLink: link, solicited: true })
  expect(checksumsHold(b)).toBe(true)
  expect(ndp.target(viewOf(b), 40)).toEqual(A6)
  expect(ndp.linkOption(viewOf(b), 40, 32, ndp.TARGET_LINK_OPTION)).toBe(link)
  expect(ndp.linkOption(viewOf(b), 40, 32, ndp.SOURCE_LINK_OPTION)).toBe(null)
  b[40 + 25] = 0
  expect(ndp.linkOption(viewOf(b), 40, 32, ndp.TARGET_LINK_OPTION)).toBe(null)
})

test('every reader is total on random bytes', () => {
  const [t, u, f] = [newFiveTuple(), newUpper(), newFrame()]
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 120, size: 'max' }),
      fc.nat(15),
      fc.constantFrom(0, 6, 17, 43, 44, 58, 60),
      (b, version, next) => {
        if (b.length > 9) {
          b[0] = (version << 4) | ((b[0] ?? 0) & 15)
          b[version === 6 ? 6 : 9] = next
        }
        const v = viewOf(b)
        validInner(v, 0, b.length)
        readTuple(v, 0, b.length, t)
        upperLayer(v, 0, b.length, u)
        readFrame(v, 0, b.length, f)
        mayAnswer(v, 0, b.length)
        clampMss(v, 0, b.length, 900)
      },
    ),
    { numRuns: 2000 },
  )
})
