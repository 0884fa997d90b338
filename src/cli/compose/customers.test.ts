import { expect, test } from 'vitest'
import { nodeKey } from '#ntm-lib/addr/ids.ts'
import { seconds } from '#ntm-lib/base/time.ts'
import type { Directed } from '#ntm-lib/negotiate/node-events.ts'
import type { Path } from '#ntm-lib/negotiate/tunnels.ts'
import { System } from '#test/sim/system.ts'
import { Customers } from './customers.ts'

const claim = (s: System, ...hosts: number[]): void => {
  s.bridge.hosts = hosts.map((n) => ({ host: new Uint8Array(8).fill(n), name: '' }))
  s.bridge.version++
  s.bridge.node.changed(s.world.now)
  expect(s.world.run(() => s.bridge.registration?.hosts.length === hosts.length, seconds(1))).toBe(true)
}

test('a box keeps its place over a new contract: the newest path, all its hosts, and gone with its last path', () => {
  const s = new System()
  expect(s.up()).toBe(true)
  const customers = new Customers(s.tt.tunnels)
  const pathOf = (d: Directed): Path => {
    const path = d.ok ? s.tt.tunnels.byContract(d.contractHash) : null
    if (path === null) throw new Error(JSON.stringify(d))
    return path
  }
  claim(s, 1)
  const [host] = s.bridge.registration?.hosts ?? []
  const first = pathOf(s.resolve('one.example', seconds(2), host === undefined ? [] : [host.vip4]))
  s.world.wait(seconds(1))
  const customer = customers.of(first)
  expect(customer.pairs.get(host?.vip4 ?? 0)?.vip6).toEqual(host?.vip6)

  claim(s, 1, 2)
  const [, guest] = s.bridge.registration?.hosts ?? []
  expect(customer.pairs.has(guest?.vip4 ?? 0)).toBe(false)
  const second = pathOf(s.resolve('two.example', seconds(2), guest === undefined ? [] : [guest.vip4]))
  s.world.wait(seconds(1))
  expect(second).not.toBe(first)
  expect(customers.of(second)).toBe(customer)
  expect(customer.path).toBe(second)
  expect([host, guest].map((h) => customer.pairs.has(h?.vip4 ?? 0))).toEqual([true, true])
  // A packet that was under way on the old path does not lead back to it.
  expect(customers.of(first).path).toBe(second)
  expect(customers.size).toBe(1)

  const { node } = second.peer
  expect(s.world.run(() => s.tt.told('path-gone').length === 1, seconds(30))).toBe(true)
  expect(s.tt.told('path-gone')[0]?.peer).toEqual(node)
  expect(customers.gone(node)).toBeNull()
  expect(customers.get(nodeKey(node))).toBe(customer)
  s.tt.tunnels.close(second.contractHash, 'unused', s.world.now)
  expect(customers.gone(node)).toEqual({ key: nodeKey(node), customer })
  expect(customers.size).toBe(0)
})

test('a direction belongs to the box at its other end, whoever opens; one without a known contract to nobody', () => {
  const s = new System()
  expect(s.up()).toBe(true)
  const customers = new Customers(s.tt.tunnels)
  const answer = s.resolve('one.example')
  s.resolve('two.example')
  if (!answer.ok) throw new Error(answer.code)
  const key = nodeKey(s.tt.tunnels.byContract(answer.contractHash)?.peer.node ?? (new Uint8Array(0) as never))
  const asked = s.tt.told('asked').map((e) => e.message)
  expect(asked.map((m) => m.kind)).toEqual(['route-direction', 'path-extend'])
  expect(asked.map((m) => customers.keyFor(m))).toEqual([key, key])
  const unknown = { kind: 'path-extend', contractHash: new Uint8Array(32), target: null, leaseSeconds: 1 } as const
  expect(customers.keyFor(unknown)).toBeNull()
})
