import { expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { instant } from '../base/time.ts'
import { decodeReset } from '../wire/reset.ts'
import { ResetMaker } from './reset.ts'
import { LIMITS } from './timers.ts'

const secret = nodeCrypto.hash(Uint8Array.of(1))

test('the token of a Path ID outlives the process and says nothing about another', () => {
  const before = new ResetMaker(nodeCrypto, secret)
  const reset = new ResetMaker(nodeCrypto, secret).answer(0xa1b2c3d4e5f6, 100, instant(0))
  const decoded = decodeReset(reset ?? new Uint8Array(0))
  expect(decoded.ok && decoded.value).toEqual({
    about: 'path',
    id: 0xa1b2c3d4e5f6,
    token: before.token(0xa1b2c3d4e5f6),
  })
  expect(before.token(1)).not.toEqual(before.token(2))
  expect(new ResetMaker(nodeCrypto, nodeCrypto.hash(secret)).token(1)).not.toEqual(before.token(1))
})

test('an answer is never larger than its question, and there are few per second', () => {
  const maker = new ResetMaker(nodeCrypto, secret)
  expect(maker.answer(1, 31, instant(0))).toBeNull()
  expect(maker.answer(1, 32, instant(0))?.length).toBe(32)
  const during = (ms: number): number =>
    Array.from({ length: 100 }, () => maker.answer(1, 64, instant(ms))).filter((r) => r !== null).length
  expect(during(1)).toBe(LIMITS.resetsPerSecond - 1)
  expect(during(999)).toBe(0)
  expect(during(1000)).toBe(LIMITS.resetsPerSecond)
})
