import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseIp4 } from '../addr/ip4.ts'
import { parseIp6 } from '../addr/ip6.ts'
import { checksumsHold, icmp, packet4, packet6, tcp, udp, viewOf } from './build.ts'
import { checkOf, delta16, delta32, intact, sum } from './checksum.ts'
import * as ip4 from './ip4.ts'
import { ICMP4, ICMP6, TCP, UDP } from './protocol.ts'
import {
  rewriteDestination4,
  rewriteDestination6,
  rewriteEmbeddedDestination4,
  rewriteSource4,
  rewriteSource6,
} from './rewrite.ts'

const A = parseIp4('192.168.1.10')!
const B = parseIp4('198.19.0.7')!
const C = parseIp4('198.18.3.4')!
const A6 = parseIp6('2001:db8:1::10')!
const B6 = parseIp6('fd00:1:2::7')!
const C6 = parseIp6('fd00:1:2:3:4:5:6:7')!
const bytes = fc.uint8Array({ maxLength: 200, size: 'max' })
const word = fc.nat(0xffff)

describe('checksum deltas equal full sums', () => {
  test('for 16 bits, 32 bits and addresses', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 40, maxLength: 80, size: 'max' }),
        word,
        fc.uint8Array({ minLength: 16, maxLength: 16, size: 'max' }),
        (b, w, addr) => {
          const v = viewOf(b)
          v.setUint16(0, 0)
          v.setUint16(0, checkOf(sum(v, 0, b.length)))
          const [old16, old32] = [v.getUint16(4), v.getUint32(8)]
          v.setUint16(4, w)
          v.setUint16(0, delta16(v.getUint16(0), old16, w))
          expect(intact(sum(v, 0, b.length))).toBe(true)
          const next = viewOf(addr).getUint32(0)
          v.setUint32(8, next)
          v.setUint16(0, delta32(v.getUint16(0), old32, next))
          expect(intact(sum(v, 0, b.length))).toBe(true)
        },
      ),
    )
  })

  test('the RFC 1624 §4 example gives 0x0000, where RFC 1141 gave 0xffff', () => {
    expect(delta16(0xdd2f, 0x5555, 0x3285)).toBe(0x0000)
  })

  test('an odd last byte is the high half of a word', () => {
    expect(sum(viewOf(Uint8Array.of(1, 2, 3)), 0, 3)).toBe(0x0102 + 0x0300)
  })
})

const upper = (protocol: number, payload: Uint8Array): Uint8Array =>
  protocol === TCP
    ? tcp(1000, 80, 0x10, payload)
    : protocol === UDP
      ? udp(1000, 53, payload)
      : icmp(protocol === ICMP4 ? 8 : 128, 0, 0x10001, payload)

test('IPv4 packets keep valid checksums and nothing but the address changes', () => {
  fc.assert(
    fc.property(fc.constantFrom(TCP, UDP, ICMP4, 132), bytes, fc.nat(0xffffffff), (protocol, payload, to) => {
      const p = packet4({ source: A, destination: B, protocol, payload: upper(protocol, payload) })
      const v = viewOf(p)
      rewriteSource4(v, 0, p.length, to)
      rewriteDestination4(v, 0, p.length, C)
      expect(checksumsHold(p)).toBe(true)
      expect([ip4.source(v, 0), ip4.destination(v, 0)]).toEqual([to >>> 0, C])
      rewriteSource4(v, 0, p.length, A)
      rewriteDestination4(v, 0, p.length, B)
      expect(checksumsHold(p)).toBe(true)
      expect(p.slice(-payload.length || p.length)).toEqual(payload.length > 0 ? payload : p.slice(p.length))
    }),
  )
})

test('IPv6 packets keep valid checksums', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(TCP, UDP, ICMP6, 132),
      bytes,
      fc.uint8Array({ minLength: 16, maxLength: 16, size: 'max' }),
      (protocol, payload, to) => {
        const p = packet6({ source: A6, destination: B6, protocol, payload: upper(protocol, payload) })
        rewriteSource6(viewOf(p), 0, p.length, viewOf(to), 0)
        rewriteDestination6(viewOf(p), 0, p.length, viewOf(C6), 0)
        expect(checksumsHold(p)).toBe(true)
        expect(p.slice(8, 24)).toEqual(to)
      },
    ),
  )
})

test('an IPv4 UDP datagram without a checksum stays without one', () => {
  const p = packet4({ source: A, destination: B, protocol: UDP, payload: udp(1, 2, Uint8Array.of(1, 2, 3)) }, false)
  rewriteSource4(viewOf(p), 0, p.length, C)
  expect(viewOf(p).getUint16(26)).toBe(0)
})

test('a later fragment changes only its header', () => {
  const payload = Uint8Array.from({ length: 40 }, (_, i) => i)
  const p = packet4({ source: A, destination: B, protocol: TCP, payload, offset: 10 }, false)
  rewriteDestination4(viewOf(p), 0, p.length, C)
  expect(p.slice(20)).toEqual(payload)
  expect(checkOf(sum(viewOf(p), 0, 20))).toBe(0)
})

describe('ICMP errors', () => {
  // The embedded packet went from A to B; the error comes back to A.
  const original = (protocol: number): Uint8Array =>
    packet4({ source: A, destination: B, protocol, payload: upper(protocol, new Uint8Array(60)) })

  test.each([8, 20, 40, 80])('IPv4: the embedded address changes with %i bytes of upper layer', (quoted) => {
    for (const protocol of [TCP, UDP, ICMP4]) {
      const body = original(protocol).slice(0, 20 + quoted)
      const p = packet4({
        source: parseIp4('203.0.113.1')!,
        destination: A,
        protocol: ICMP4,
        payload: icmp(3, 1, 0, body),
      })
      const v = viewOf(p)
      rewriteDestination4(v, 0, p.length, C)
      expect(checksumsHold(p)).toBe(true)
      expect(ip4.source(v, 28)).toBe(C)
      expect(checkOf(sum(v, 28, 20))).toBe(0)
      expect(rewriteEmbeddedDestination4(v, 0, p.length, B, A)).toBe(true)
      expect(checksumsHold(p)).toBe(true)
      expect(ip4.destination(v, 28)).toBe(A)
      // Against building the embedded packet afresh: its own checksums must be the right ones too.
      const fresh = packet4({ source: C, destination: A, protocol, payload: upper(protocol, new Uint8Array(60)) })
      expect(p.slice(28)).toEqual(fresh.slice(0, 20 + quoted))
    }
  })

  test.each([8, 20, 40, 80])('IPv6: the embedded address changes with %i bytes of upper layer', (quoted) => {
    for (const protocol of [TCP, UDP, ICMP6]) {
      const body = packet6({ source: A6, destination: B6, protocol, payload: upper(protocol, new Uint8Array(60)) })
      const p = packet6({
        source: B6,
        destination: A6,
        protocol: ICMP6,
        payload: icmp(1, 4, 0, body.slice(0, 40 + quoted)),
      })
      rewriteDestination6(viewOf(p), 0, p.length, viewOf(C6), 0)
      expect(checksumsHold(p)).toBe(true)
      rewriteSource6(viewOf(p), 0, p.length, viewOf(A6), 0)
      expect(checksumsHold(p)).toBe(true)
      const fresh = packet6({ source: C6, destination: A6, protocol, payload: upper(protocol, new Uint8Array(60)) })
      expect(p.slice(48)).toEqual(fresh.slice(0, 40 + quoted))
    }
  })

  test('an embedded address that is not the one that changed stays', () => {
    const body = packet4({ source: C, destination: B, protocol: UDP, payload: udp(1, 2, new Uint8Array(8)) })
    const p = packet4({ source: B, destination: A, protocol: ICMP4, payload: icmp(11, 0, 0, body) })
    rewriteDestination4(viewOf(p), 0, p.length, parseIp4('10.0.0.1')!)
    expect(p.slice(28)).toEqual(body)
    expect(checksumsHold(p)).toBe(true)
  })
})

test('random bytes never make a rewrite throw or touch what is outside the packet', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 40, maxLength: 160, size: 'max' }),
      fc.constantFrom(0x45, 0x46, 0x4f, 0x60),
      fc.constantFrom(0, 1, 6, 17, 43, 44, 58),
      (noise, first, next) => {
        const arena = new Uint8Array(64 + noise.length + 64).fill(0xa5)
        arena.set(noise, 64)
        arena[64] = first
        arena[64 + (first === 0x60 ? 6 : 9)] = next
        const v = viewOf(arena)
        if (first === 0x60) {
          rewriteSource6(v, 64, noise.length, viewOf(C6), 0)
          rewriteDestination6(v, 64, noise.length, viewOf(C6), 0)
        } else if ((first & 15) * 4 <= noise.length) {
          rewriteSource4(v, 64, noise.length, C)
          rewriteDestination4(v, 64, noise.length, C)
        }
        expect(arena.subarray(0, 64).every((x) => x === 0xa5)).toBe(true)
        expect(arena.subarray(64 + noise.length).every((x) => x === 0xa5)).toBe(true)
      },
    ),
    { numRuns: 500 },
  )
})
