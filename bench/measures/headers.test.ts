import { expect, test } from 'vitest'
import { payloadShare, TCP4_BYTES } from './headers.ts'

test('full frames without a tunnel carry 1448 of 1514 bytes', () => {
  expect(payloadShare(1448, (inner) => 14 + inner)).toBeCloseTo(1448 / 1514, 12)
})

test('a tunnel of 60 bytes around 1440 takes 1388 of 1514', () => {
  expect(payloadShare(1388, (inner) => 14 + 28 + 32 + inner)).toBeCloseTo(1388 / 1514, 12)
  expect(TCP4_BYTES).toBe(52)
})
