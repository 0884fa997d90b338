import fc from 'fast-check'
import { expect, test } from 'vitest'
import { clipUtf8, decodeUtf8, encodeUtf8 } from './utf8.ts'

/** The platform's strict decoder, where it has one, is the second opinion. */
function platform(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    // Its way of saying no.
    return null
  }
}

test('agrees with the platform on text, on noise and on every lead byte with the edges of the second', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (s) => expectSame(encodeUtf8(s))))
  fc.assert(fc.property(fc.uint8Array({ maxLength: 12 }), expectSame), { numRuns: 2000 })
  for (let a = 0x80; a < 256; a++)
    for (const b of [0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0])
      for (const tail of [[], [0x80], [0x80, 0xbf]]) expectSame(Uint8Array.of(a, b, ...tail))
})

test('clipping keeps whole characters and never exceeds the limit', () => {
  expect([clipUtf8('aüb', 2), clipUtf8('aüb', 3), clipUtf8('🙂🙂', 7), clipUtf8('ok', 2)]).toEqual([
    'a',
    'aü',
    '🙂',
    'ok',
  ])
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.nat(30), (s, limit) => {
      const kept = clipUtf8(s, limit)
      expect(s.toWellFormed().startsWith(kept)).toBe(true)
      expect(encodeUtf8(kept).length).toBeLessThanOrEqual(limit)
    }),
  )
})

function expectSame(bytes: Uint8Array): void {
  const [ours, theirs] = [decodeUtf8(bytes), platform(bytes)]
  if (ours !== theirs) expect([...bytes, ours]).toEqual([...bytes, theirs])
}
