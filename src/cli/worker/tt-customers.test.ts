import { expect, test } from 'vitest'
import { nodeKey } from '#ntm-lib/addr/ids.ts'
import type { Ip } from '#ntm-lib/addr/ip.ts'
import { seconds } from '#ntm-lib/base/time.ts'
import type { MirrorCommand, MirroredPath } from '#ntm-lib/negotiate/mirror.ts'
import type { Directed } from '#ntm-lib/negotiate/node-events.ts'
import type { Path } from '#ntm-lib/negotiate/tunnels.ts'
import { mode } from '#test/sim/mirror-mode.ts'
import { System } from '#test/sim/system.ts'
import type { FlowNode } from '#tt/flow-node.ts'
import { Customers } from './tt-customers.ts'

/** A terminator in the simulated network; what its packet side would be told goes to `customers` with `follow`. */
function build(): { readonly s: System; readonly customers: Customers; readonly follow: () => FlowNode[] } {
  mode.mirror = true
  const s = new System()
  mode.mirror = false
  expect(s.up()).toBe(true)
  const customers = new Customers()
  let seen = 0
  const follow = (): FlowNode[] => {
    const commands = s.tt.worker?.commands.slice(seen) ?? []
    seen += commands.length
    return commands.flatMap((c) => customers.mirrored(c) ?? [])
  }
  return { s, customers, follow }
}

const claim = (s: System, ...hosts: number[]): void => {
  s.bridge.hosts = hosts.map((n) => ({ host: new Uint8Array(8).fill(n), name: '' }))
  s.bridge.version++
  s.bridge.node.changed(s.world.now)
  expect(s.world.run(() => s.bridge.registration?.hosts.length === hosts.length, seconds(1))).toBe(true)
}

test('a box keeps its place over a new contract: answers take the newest path, and it is gone with its last', () => {
  const { s, customers, follow } = build()
  const pathOf = (d: Directed): Path => {
    const path = d.ok ? s.tt.tunnels.byContract(d.contractHash) : null
    if (path === null) throw new Error(JSON.stringify(d))
    return path
  }
  claim(s, 1)
  const [host] = s.bridge.registration?.hosts ?? []
  const first = pathOf(s.resolve('one.example', seconds(2), host === undefined ? [] : [host.vip4]))
  s.world.wait(seconds(1))
  expect(follow()).toEqual([])
  const customer = customers.at(first.row)
  const { node, pairOf } = customer ?? { node: null, pairOf: () => null }
  expect([node?.key, node?.via]).toEqual([nodeKey(first.peer.node), first.row])
  expect(pairOf(host?.vip4 as Ip)?.vip6).toEqual(host?.vip6)
  expect(pairOf(host?.vip6 as Ip)?.vip4).toEqual(host?.vip4)

  claim(s, 1, 2)
  const [, guest] = s.bridge.registration?.hosts ?? []
  expect(pairOf(guest?.vip4 as Ip)).toBeNull()
  const second = pathOf(s.resolve('two.example', seconds(2), guest === undefined ? [] : [guest.vip4]))
  s.world.wait(seconds(1))
  expect(follow()).toEqual([])
  expect(second).not.toBe(first)
  expect(customers.at(second.row)?.node).toBe(node)
  expect(node?.via).toBe(second.row)
  expect([host, guest].map((h) => customers.at(second.row)?.pairOf(h?.vip4 as Ip)?.vip4)).toEqual([
    host?.vip4,
    guest?.vip4,
  ])
  // What is still under way on the old path is its box's, but does not lead answers back to it.
  expect(customers.at(first.row)?.node).toBe(node)
  expect(customers.size).toBe(1)

  expect(s.world.run(() => s.tt.told('path-gone').length === 1, seconds(30))).toBe(true)
  expect(follow()).toEqual([])
  expect([customers.at(first.row), customers.size, node?.via]).toEqual([null, 1, second.row])
  s.tt.tunnels.close(second.contractHash, 'unused', s.world.now)
  s.tt.node.settle(s.world.now)
  s.tt.poll()
  expect(follow()).toEqual([node])
  expect([customers.at(second.row), customers.size]).toEqual([null, 0])
})

test('a path that is not there was nobody’s', () => {
  const customers = new Customers()
  expect(customers.mirrored({ mirror: 'gone', row: 3 })).toBeNull()
  expect([customers.at(3), customers.at(0)]).toEqual([null, null])
})

test('when the newest path goes first, answers take the one that is left', () => {
  const path = (row: number, leads: boolean): MirrorCommand => ({
    mirror: 'path',
    path: { row, peer: 'box', leads, peerAllowed: [] } as unknown as MirroredPath,
  })
  const customers = new Customers()
  customers.mirrored(path(1, true))
  customers.mirrored(path(2, false))
  const node = customers.at(1)?.node
  expect(node?.via).toBe(1)
  customers.mirrored(path(2, true))
  expect(node?.via).toBe(2)
  expect(customers.mirrored({ mirror: 'gone', row: 2 })).toBeNull()
  expect(node?.via).toBe(1)
  expect(customers.mirrored({ mirror: 'gone', row: 1 })).toBe(node)
})
