import { expect, test } from 'vitest'
import { pathId } from '../addr/ids.ts'
import { unhex } from '../base/hex.ts'
import { BugError } from '../base/invariant.ts'
import { decodeRelayLeg, encodeRelayLeg, RELAY_LEG, type RelayLegKind, relayLegBytes } from './relay-leg.ts'

const tag = new Uint8Array(16).fill(0xaa)

test('the totals are those of the wire page', () => {
  const totals = Object.keys(RELAY_LEG).map((kind) => [kind, relayLegBytes(kind as RelayLegKind)])
  expect(Object.fromEntries(totals)).toEqual({ bind: 64, challenge: 48, confirm: 48, notice: 64, probe: 32, echo: 32 })
})

test('a leg datagram without seq is refused; a Notice may have none', () => {
  const path = pathId(5)
  const cookie = new Uint8Array(16)
  expect(() => encodeRelayLeg({ kind: 'confirm', path, direction: 0, seq: 0, cookie, tag })).toThrow(BugError)
  const confirm = encodeRelayLeg({ kind: 'confirm', path, direction: 0, seq: 1, cookie, tag })
  confirm[15] = 0
  expect(decodeRelayLeg(confirm)).toEqual({ ok: false, fault: 'bad-value' })
  const notice = { kind: 'notice', path, direction: 1, seq: 0, reason: 'limit', trigger: cookie, tag } as const
  expect(decodeRelayLeg(encodeRelayLeg(notice))).toEqual({ ok: true, value: notice })
})

test('a probe has neither direction nor counter', () => {
  const good = unhex('15 05 0000 000000000007 000000000000 0102030405060708 0000000000000000')!
  expect(decodeRelayLeg(good)).toEqual({
    ok: true,
    value: { kind: 'probe', id: 7, nonce: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) },
  })
  for (const [at, to] of [
    [1, 0x85],
    [15, 1],
    [31, 1],
  ] as const) {
    const bad = good.slice()
    bad[at] = to
    expect(decodeRelayLeg(bad)).toEqual({ ok: false, fault: 'bad-value' })
  }
})
