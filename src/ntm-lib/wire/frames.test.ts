import { expect, test } from 'vitest'
import { unhex } from '../base/hex.ts'
import { decodeFrames } from './frames.ts'

test('frames of a type we do not know are skipped by their length', () => {
  const bytes = unhex('08 0003 010203   02 0008 a1a1a1a1a1a1a1a1   ff 0000   0a 0001 ff   01 0000')!
  const nonce = new Uint8Array(8).fill(0xa1)
  expect(decodeFrames(bytes)).toEqual({ ok: true, value: [{ kind: 'ping', nonce }, { kind: 'ready' }] })
})
