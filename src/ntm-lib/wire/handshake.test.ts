import { expect, test } from 'vitest'
import { BugError } from '../base/invariant.ts'
import {
  HANDSHAKES,
  type HandshakeName,
  handshakeBytes,
  joinHello,
  joinTunnelRequest,
  splitHello,
  splitTunnelRequest,
} from './handshake.ts'

const b = (size: number, value: number): Uint8Array => new Uint8Array(size).fill(value)
const body = { e: b(32, 1), encStatic: b(48, 2), encPayload: b(128, 3), tag1: b(16, 0), tag2: b(16, 0) }
const header = { cls: 1, flags: 1, word: 9, id: 0, counter: 5 } as const

test('the totals are those of the wire page', () => {
  const totals = Object.keys(HANDSHAKES).map((name) => [name, handshakeBytes(name as HandshakeName)])
  expect(Object.fromEntries(totals)).toEqual({
    hello: 256,
    welcome: 208,
    'control-cookie': 64,
    'enrol-hello': 264,
    'enrol-welcome': 216,
    'tunnel-request': 256,
    'tunnel-response': 208,
    'tunnel-cookie': 64,
    knock: 32,
  })
})

test('a header of another kind cannot be joined, and no datagram of one kind is split as another', () => {
  expect(() => joinTunnelRequest({ header, ...body })).toThrow(BugError)
  const request = joinTunnelRequest({ header: { cls: 3, flags: 0x81, word: 1, id: 7, counter: 1 }, ...body })
  expect(splitHello(request)).toEqual({ ok: false, fault: 'unknown-kind' })
  expect(splitTunnelRequest(joinHello({ header, ...body }))).toEqual({ ok: false, fault: 'unknown-kind' })
})
