import { expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { wallTime } from '../base/time.ts'
import { rehearse } from './rehearse.ts'

test('every rehearsed tunnel opens and carries a packet each way', () => {
  expect(rehearse(nodeCrypto, wallTime(Date.now()), 3)).toBe(6)
})
