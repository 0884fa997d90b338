import { expect, test } from 'vitest'
import { type NodeId, nodeId } from '#ntm-lib/addr/ids.ts'
import { type Ip4, parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { type Ip6, parseIp6 } from '#ntm-lib/addr/ip6.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import { wallTime } from '#ntm-lib/base/time.ts'
import type { CoordinatorStore, Member, ServerRow } from '#ntm-lib/ports/coordinator-store.ts'

/**
 * What every coordinator store must do. `open` gives an empty store the first time; `reopen` closes what is open and
 * opens the same state again, or null where nothing survives the object.
 */
export function coordinatorStoreContract(
  open: () => CoordinatorStore,
  reopen: ((store: CoordinatorStore) => CoordinatorStore) | null,
): void {
  const again = (store: CoordinatorStore): CoordinatorStore => (reopen === null ? store : reopen(store))

  test('members come back whole, by node, name and either virtual address', () => {
    let store = open()
    store.putMember(member(1, 'one.ntm.example'))
    store.putMember(member(2, 'two.ntm.example'))
    store = again(store)
    expect(store.member(id(1))).toEqual(member(1, 'one.ntm.example'))
    expect(store.memberByName('two.ntm.example')).toEqual(member(2, 'two.ntm.example'))
    expect(store.memberByVip(pair(1).vip4)?.name).toBe('one.ntm.example')
    expect(store.memberByVip(pair(2).vip6)?.name).toBe('two.ntm.example')
    expect(store.member(id(3))).toBeNull()
    expect(store.memberByName('three.ntm.example')).toBeNull()
    expect(store.memberByVip(pair(3).vip6)).toBeNull()
    expect(store.members().length).toBe(2)
    store.putMember({ ...member(1, 'one.ntm.example'), revoked: true, pathEnded: wallTime(77) })
    store = again(store)
    expect(store.member(id(1))).toEqual({ ...member(1, 'one.ntm.example'), revoked: true, pathEnded: 77 })
    store.close()
  })

  test('two members cannot have one name or one address', () => {
    const store = open()
    store.putMember(member(1, 'one.ntm.example'))
    expect(() => store.putMember({ ...member(2, 'one.ntm.example') })).toThrow()
    expect(() => store.putMember({ ...member(2, 'two.ntm.example'), pair: pair(1) })).toThrow()
    expect(store.members().length).toBe(1)
    store.close()
  })

  test('tokens, pins and numbers come back', () => {
    let store = open()
    const token = {
      id: bytes(8, 5),
      psk: bytes(32, 6),
      name: 'one.ntm.example',
      roles: 2,
      grant: null,
      expires: wallTime(1_800_000_000_000),
      usedBy: null,
      usedAt: wallTime(0),
      failures: 0,
    }
    store.putToken(token)
    store.pin('one.ntm.example', id(1))
    store.putNumber('serial', 41)
    store = again(store)
    expect(store.token(bytes(8, 5))).toEqual(token)
    expect(store.token(bytes(8, 4))).toBeNull()
    expect(store.pinnedTo('one.ntm.example')).toEqual(id(1))
    expect(store.pinnedTo('two.ntm.example')).toBeNull()
    expect(store.number('serial')).toBe(41)
    expect(store.number('revocation-version')).toBe(0)
    const used = { ...token, usedBy: id(9), usedAt: wallTime(12), failures: 3, grant: bytes(200, 1) }
    store.putToken(used)
    store = again(store)
    expect(store.token(bytes(8, 5))).toEqual(used)
    store.close()
  })

  test('hosts keep their pair; the highest address covers members and hosts', () => {
    let store = open()
    expect(store.highestNodeVip4()).toBeNull()
    store.putMember(member(1, 'one.ntm.example'))
    store.putHost({ node: id(1), host: bytes(8, 1), name: 'pc', pair: pair(200) })
    store.putHost({ node: id(1), host: bytes(8, 2), name: '', pair: pair(100) })
    store.putHost({ node: id(2), host: bytes(8, 1), name: '', pair: pair(101) })
    store = again(store)
    expect(store.host(id(1), bytes(8, 1))).toEqual({ node: id(1), host: bytes(8, 1), name: 'pc', pair: pair(200) })
    expect(store.host(id(1), bytes(8, 3))).toBeNull()
    expect(store.hostsOf(id(1)).length).toBe(2)
    expect(store.hostByVip(pair(101).vip6)?.node).toEqual(id(2))
    expect(store.hostByVip(pair(100).vip4)?.host).toEqual(bytes(8, 2))
    expect(store.highestNodeVip4()).toBe(pair(200).vip4)
    store.close()
  })

  test('a server row is replaced by the next of its name and removed by name', () => {
    let store = open()
    store.putServer(server(1, 'a.example', 10))
    store.putServer(server(1, 'b.example', 11))
    store.putServer(server(2, 'a.example', 12))
    store.putServer({ ...server(1, 'a.example', 10), lastUsed: wallTime(99) })
    store.removeServer(id(1), 'b.example')
    store = again(store)
    expect(store.servers().toSorted((a, b) => a.pair.vip4 - b.pair.vip4)).toEqual([
      { ...server(1, 'a.example', 10), lastUsed: 99 },
      server(2, 'a.example', 12),
    ])
    expect(() => store.putServer(server(3, 'c.example', 12))).toThrow()
    store.close()
  })

  test('a pair has one contract, whichever end is named first', () => {
    let store = open()
    const row = {
      initiator: id(2),
      correspondent: id(1),
      hash: bytes(32, 1),
      bytes: bytes(300, 2),
      leaseUntil: wallTime(5),
    }
    store.putContract(row)
    store.putContract({ ...row, initiator: id(3), hash: bytes(32, 9) })
    store = again(store)
    expect(store.contract(id(1), id(2))).toEqual(row)
    expect(store.contract(id(2), id(1))).toEqual(row)
    expect(store.contractByHash(bytes(32, 9))?.initiator).toEqual(id(3))
    expect(store.contractsOf(id(1)).length).toBe(2)
    expect(store.contractsOf(id(3)).length).toBe(1)
    expect([id(1), id(3), id(4)].map((n) => store.contractCount(n))).toEqual([2, 1, 0])
    // The other direction of the same pair replaces it.
    store.putContract({ ...row, initiator: id(1), correspondent: id(2), hash: bytes(32, 7) })
    expect(store.contract(id(2), id(1))?.hash).toEqual(bytes(32, 7))
    expect(store.contractByHash(bytes(32, 1))).toBeNull()
    store.removeContract(id(2), id(1))
    store = again(store)
    expect(store.contract(id(1), id(2))).toBeNull()
    expect(store.contractsOf(id(2))).toEqual([])
    store.close()
  })

  test('boxes of other zones: kept, replaced, no members', () => {
    let store = open()
    expect(store.foreign(id(1))).toBeNull()
    const row = { node: id(1), zone: 'b.example', name: 'one.b.example', chain: [bytes(200, 1), bytes(180, 2)] }
    store.putForeign(row)
    store.putForeign({ ...row, node: id(2) })
    store.putForeign({ ...row, name: 'other.b.example', chain: [bytes(100, 3)] })
    store = again(store)
    expect(store.foreign(id(1))).toEqual({ ...row, name: 'other.b.example', chain: [bytes(100, 3)] })
    expect(store.foreign(id(2))?.name).toBe('one.b.example')
    expect(store.member(id(1))).toBeNull()
    store.close()
  })

  test('a transaction that throws leaves nothing, also from inside another', () => {
    let store = open()
    store.putNumber('serial', 1)
    const fail = (): never => {
      throw new RangeError('stop')
    }
    expect(() =>
      store.transaction(() => {
        store.putMember(member(1, 'one.ntm.example'))
        store.putNumber('serial', 2)
        store.transaction(() => store.pin('one.ntm.example', id(1)))
        fail()
      }),
    ).toThrow('stop')
    expect(store.transaction(() => 5)).toBe(5)
    store.transaction(() => store.putServer(server(1, 'kept.example', 3)))
    expect(() => store.transaction(fail, 'soon')).toThrow('stop')
    store.transaction(() => store.putNumber('revocation-version', 7), 'soon')
    store.transaction(() => store.putNumber('revocation-version', 8), 'soon')
    store = again(store)
    expect(store.number('revocation-version')).toBe(8)
    expect(store.number('serial')).toBe(1)
    expect(store.members()).toEqual([])
    expect(store.pinnedTo('one.ntm.example')).toBeNull()
    expect(store.servers().length).toBe(1)
    store.close()
  })
}

const bytes = (length: number, fill: number): Uint8Array => new Uint8Array(length).fill(fill)
const id = (n: number): NodeId => nodeId(bytes(16, n))
const pair = (n: number): VirtualPair => ({
  vip4: ((parseIp4('198.18.0.0') as number) + n) as Ip4,
  vip6: parseIp6(`fd00:1::${n.toString(16)}`) as Ip6,
})
const member = (n: number, name: string): Member => ({
  node: id(n),
  staticKey: bytes(32, n),
  name,
  roles: 2,
  chain: [bytes(200, n), bytes(180, 1)],
  pair: pair(n),
  revoked: false,
  pathEnded: wallTime(0),
})
const server = (n: number, name: string, address: number): ServerRow => ({
  node: id(n),
  name,
  pair: {
    vip4: ((parseIp4('198.19.0.0') as number) + address) as Ip4,
    vip6: parseIp6(`fd00:2::${address.toString(16)}`) as Ip6,
  },
  lastUsed: wallTime(1),
  quarantinedUntil: wallTime(2),
})
