import { expect, test } from 'vitest'
import { payloadShare, TCP4_BYTES } from './headers.ts'

test('full frames without a tunnel carry 1448 of 1514 bytes', () => {
  expect(payloadShare((inner) => 14 + inner)).toBeCloseTo(1448 / 1514, 12)
  expect(TCP4_BYTES).toBe(52)
})

test('a tunnel with 60 bytes of outer headers carries 1388 of 1514', () => {
  expect(payloadShare((inner) => 14 + 28 + 32 + inner)).toBeCloseTo(1388 / 1514, 12)
})

test('padding that does not fit costs the rest of the frame', () => {
  const padded = (inner: number): number => 14 + 28 + 32 + Math.ceil(inner / 64) * 64
  // 1408 is the last multiple of 64 in 1440.
  expect(payloadShare(padded)).toBeCloseTo((1408 - 52) / (14 + 28 + 32 + 1408), 12)
})
