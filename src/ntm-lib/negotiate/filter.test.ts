import fc from 'fast-check'
import { expect, test } from 'vitest'
import { icmpError, innerPacket } from '#test/support/inner.ts'
import { prefixOf } from '#test/support/network.ts'
import { allowed, filter } from './filter.ts'

const A = allowed([prefixOf('198.18.0.10/32'), prefixOf('fd00::a/128'), prefixOf('10.9.0.0/16')])
const B = allowed([prefixOf('198.19.0.0/16'), prefixOf('fd01::/64')])
const judge = (p: Uint8Array, length = p.length): ReturnType<typeof filter> =>
  filter(new DataView(p.buffer, p.byteOffset, p.length), 0, length, A, B)

test('what the contract allows passes, in both families', () => {
  expect(judge(innerPacket('198.18.0.10', '198.19.7.7', 28))).toBeNull()
  expect(judge(innerPacket('10.9.3.3', '198.19.0.0', 1400))).toBeNull()
  expect(judge(innerPacket('fd00::a', 'fd01::5', 48))).toBeNull()
})

test('every address outside is named by where it stands', () => {
  expect(judge(innerPacket('198.18.0.11', '198.19.7.7', 28))).toBe('source-not-allowed')
  expect(judge(innerPacket('198.18.0.10', '198.20.0.1', 28))).toBe('destination-not-allowed')
  expect(judge(innerPacket('fd00::b', 'fd01::5', 48))).toBe('source-not-allowed')
  expect(judge(innerPacket('fd00::a', 'fd01:0:0:1::', 48))).toBe('destination-not-allowed')
})

test('ICMP errors must quote what the receiver sent to the sender; echo is no error', () => {
  const quoted = innerPacket('198.19.7.7', '198.18.0.10', 28)
  for (const type of [3, 4, 5, 11, 12]) {
    expect(judge(icmpError('198.18.0.10', '198.19.7.7', type, quoted))).toBeNull()
    const foreign = innerPacket('8.8.8.8', '198.18.0.10', 28)
    expect(judge(icmpError('198.18.0.10', '198.19.7.7', type, foreign))).toBe('embedded-not-allowed')
    const elsewhere = innerPacket('198.19.7.7', '198.18.0.11', 28)
    expect(judge(icmpError('198.18.0.10', '198.19.7.7', type, elsewhere))).toBe('embedded-not-allowed')
    expect(judge(icmpError('198.18.0.10', '198.19.7.7', type, quoted.subarray(0, 19)))).toBe('inner-malformed')
  }
  expect(judge(icmpError('198.18.0.10', '198.19.7.7', 8, innerPacket('8.8.8.8', '1.1.1.1', 28)))).toBeNull()
})

test('an ICMPv6 error is found behind extension headers, and hiding it deep is refused', () => {
  const behind = (headers: number, quoted: Uint8Array): Uint8Array => {
    const error = icmpError('fd00::a', 'fd01::5', 1, quoted)
    const body = error.subarray(40)
    const packet = innerPacket('fd00::a', 'fd01::5', 40 + 8 * headers + body.length, headers > 0 ? 60 : 58)
    for (let i = 0; i < headers; i++) packet.set([i === headers - 1 ? 58 : 60, 0, 1, 4, 0, 0, 0, 0], 40 + 8 * i)
    packet.set(body, 40 + 8 * headers)
    return packet
  }
  const good = innerPacket('fd01::5', 'fd00::a', 48)
  const bad = innerPacket('fd00::bad', 'fd00::a', 48)
  for (const n of [0, 1, 3, 8]) {
    expect(judge(behind(n, good)), `${n} headers`).toBeNull()
    expect(judge(behind(n, bad)), `${n} headers`).toBe('embedded-not-allowed')
  }
  expect(judge(behind(9, good))).toBe('inner-malformed')
})

test('lengths that lie are malformed; padding behind the packet is not', () => {
  const p = innerPacket('198.18.0.10', '198.19.7.7', 60)
  expect(judge(p, 59)).toBe('inner-malformed')
  const padded = new Uint8Array(64)
  padded.set(p)
  expect(judge(padded)).toBeNull()
  p[0] = 0x44
  expect(judge(p)).toBe('inner-malformed')
  p[0] = 0x55
  expect(judge(p)).toBe('inner-malformed')
})

test('total: any bytes get a verdict', () => {
  const start = fc.constantFrom([0x45], [0x46], [0x60], [])
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 120, size: 'max' }), (head, bytes) => {
      const p = Uint8Array.from(bytes)
      p.set(head.slice(0, p.length))
      const verdict = judge(p)
      expect(verdict === null || typeof verdict === 'string').toBe(true)
    }),
    { numRuns: 2000 },
  )
  // The same with addresses that pass, so that the headers behind are reached.
  fc.assert(
    fc.property(
      fc.constantFrom(0, 43, 44, 51, 58, 60, 135),
      fc.uint8Array({ maxLength: 100, size: 'max' }),
      (next, tail) => {
        const p = innerPacket('fd00::a', 'fd01::5', 40 + tail.length, next)
        p.set(tail, 40)
        const verdict = judge(p)
        expect(verdict === null || typeof verdict === 'string').toBe(true)
      },
    ),
    { numRuns: 2000 },
  )
})
