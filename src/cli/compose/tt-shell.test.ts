import { expect, test } from 'vitest'
import { nodeKey } from '#ntm-lib/addr/ids.ts'
import { System } from '#test/sim/system.ts'
import { boxOf } from './tt-shell.ts'

test('a direction belongs to the box at its other end, whoever opens; one without a known contract to nobody', () => {
  const s = new System()
  expect(s.up()).toBe(true)
  const answer = s.resolve('one.example')
  s.resolve('two.example')
  if (!answer.ok) throw new Error(answer.code)
  const key = nodeKey(s.tt.tunnels.byContract(answer.contractHash)?.peer.node ?? (new Uint8Array(0) as never))
  const asked = s.tt.told('asked').map((e) => e.message)
  expect(asked.map((m) => m.kind)).toEqual(['route-direction', 'path-extend'])
  expect(asked.map((m) => boxOf(m, s.tt.tunnels))).toEqual([key, key])
  const unknown = { kind: 'path-extend', contractHash: new Uint8Array(32), target: null, leaseSeconds: 1 } as const
  expect(boxOf(unknown, s.tt.tunnels)).toBeNull()
})
