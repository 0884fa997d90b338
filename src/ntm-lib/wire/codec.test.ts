import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as any from '#test/support/wire-arbitraries.ts'
import { CODECS, type Codec } from '#test/support/wire-codecs.ts'
import { decodeMessage, encodeMessage } from './codec.ts'
import { MAX_BODY_BYTES } from './envelope.ts'

const RUNS = { numRuns: 60 }

describe.each(Object.entries<Codec>(CODECS))('%s', (_name, codec) => {
  test('what is written is read back', () => {
    fc.assert(
      fc.property(codec.values, (value) => {
        expect(codec.decode(codec.encode(value as never))).toEqual({ ok: true, value })
      }),
      RUNS,
    )
  })

  test('a decoded value owns its bytes', () => {
    fc.assert(
      fc.property(codec.values, (value) => {
        const bytes = codec.encode(value as never)
        const got = codec.decode(bytes)
        bytes.fill(0xff)
        expect(got).toEqual({ ok: true, value })
      }),
      RUNS,
    )
  })

  test('every strict prefix is refused, and so is a trailing byte', () => {
    fc.assert(
      fc.property(codec.values, fc.nat(255), (value, extra) => {
        const bytes = codec.encode(value as never)
        if (codec.sequence === undefined) {
          for (let n = 0; n < bytes.length; n++) {
            const got = codec.decode(bytes.subarray(0, n))
            // A service record's missing end is a missing parameter, not a cut field.
            if (got.ok || (codec.lenient === undefined && got.fault !== 'short')) expect(got).toEqual(n)
          }
        }
        expect(codec.decode(Uint8Array.of(...bytes, extra)).ok).toBe(false)
      }),
      { numRuns: 15 },
    )
  })

  test('random and damaged bytes give a value or a fault, and a value has one encoding', () => {
    const flips = fc.array(fc.tuple(fc.nat(1e6), fc.nat(255)), { minLength: 1, maxLength: 3 })
    const damaged = fc.tuple(codec.values, flips).map(([value, changes]) => {
      const bytes = codec.encode(value as never)
      for (const [at, to] of changes) bytes[at % Math.max(1, bytes.length)] = to
      return bytes
    })
    fc.assert(
      fc.property(fc.oneof(damaged, any.upTo(300)), (bytes) => {
        const got = codec.decode(bytes)
        if (got.ok && codec.lenient === undefined) expect(codec.encode(got.value as never)).toEqual(bytes)
      }),
      { numRuns: 300 },
    )
  })
})

test('decoding a message body never depends on more than code, flags and bytes', () => {
  fc.assert(
    fc.property(any.message, (m) => {
      const { code, response, refusal, body } = encodeMessage(m)
      expect(decodeMessage(code, response, refusal, body)).toEqual({ ok: true, value: m })
      for (let n = 0; n < body.length; n += 1 + (body.length >> 6))
        expect(decodeMessage(code, response, refusal, body.subarray(0, n))).toEqual({ ok: false, fault: 'short' })
    }),
    RUNS,
  )
})

test('every code and flag combination without a row is an unknown kind', () => {
  const known = new Set(
    [
      '1qr',
      '2qr',
      '3qr',
      '4qr',
      '5q',
      '6r',
      '7q',
      '8r',
      '9q',
      '10qr',
      '11qr',
      '13qr',
      '16qr',
      '17qr',
      '18q',
      '19qr',
    ].flatMap(spread),
  )
  known.add('15f')
  for (let code = 0; code < 256; code++) {
    for (const [letter, response, refusal] of [
      ['q', false, false],
      ['r', true, false],
      ['f', true, true],
      ['-', false, true],
    ] as const) {
      const got = decodeMessage(code, response, refusal, new Uint8Array(0))
      const unknown = !got.ok && got.fault === 'unknown-kind'
      expect([code, letter, unknown]).toEqual([code, letter, !known.has(`${code}${letter}`)])
    }
  }
})

test('a body larger than eight parts is refused even when it would decode', () => {
  const largest = Uint8Array.of(1, (MAX_BODY_BYTES - 3) >> 8, (MAX_BODY_BYTES - 3) & 0xff, ...Array(MAX_BODY_BYTES - 3))
  expect(decodeMessage(0x0d, false, false, largest).ok).toBe(true)
  const larger = Uint8Array.of(1, (MAX_BODY_BYTES - 2) >> 8, (MAX_BODY_BYTES - 2) & 0xff, ...Array(MAX_BODY_BYTES - 2))
  expect(decodeMessage(0x0d, false, false, larger)).toEqual({ ok: false, fault: 'long' })
})

function spread(row: string): string[] {
  const [, code = '', letters = ''] = /^(\d+)([a-z]+)$/.exec(row) ?? []
  return [...letters].map((l) => `${code}${l}`)
}
