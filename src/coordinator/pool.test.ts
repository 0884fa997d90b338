import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { type NodeId, nodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { ip4Text } from '#ntm-lib/addr/ip4.ts'
import { ip6Text } from '#ntm-lib/addr/ip6.ts'
import { type Prefix, parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { routerStandIns, type VirtualPair, type VirtualPlan } from '#ntm-lib/addr/virtual.ts'
import { type WallTime, wallTime } from '#ntm-lib/base/time.ts'
import { hostVip6, nextNodeVip4 } from './node-addresses.ts'
import { type LastPacket, ServerPool } from './pool.ts'
import { MemoryStore } from './store-memory.ts'

const HOUR = 3_600_000
const plan = (servers4: string): VirtualPlan => ({
  nodes4: prefix('198.18.0.0/16'),
  servers4: prefix(servers4),
  nodes6: prefix('fd00:1::/48'),
  servers6: prefix('fd00:2::/64'),
})
const idle: LastPacket = () => wallTime(0)
const T0 = 1_800_000_000_000

test('attack 14: an address used 23 h after its TTL, with 65,000 names churning, never names another server', () => {
  // A hash that is only fast and different each time: 130,000 real ones would be most of this test.
  let hashes = 0
  const suite = { hash: () => new Uint8Array(Float64Array.of(0, ++hashes).buffer).reverse() }
  const pool = new ServerPool(new MemoryStore(), plan('198.19.0.0/16'), suite, idle, 65_536)
  const ttl = 7200
  const victim = take(pool, id(1), 'victim.example', ttl, T0)!
  for (let i = 0; i < 65_022; i++) take(pool, id(2), `churn-${i}.example`, 60, T0 + i)
  // The pool is full and the churn's own addresses are still in quarantine: refused rather than reused.
  expect(take(pool, id(2), 'one-more.example', 60, T0 + 22 * HOUR)).toBeNull()
  // Now every address but the victim's is out of quarantine, and all of them are wanted.
  const late = T0 + ttl * 1000 + 23 * HOUR + HOUR / 6
  const given: (number | undefined)[] = []
  for (let i = 0; i < 65_100; i++) given.push(take(pool, id(3), `again-${i}.example`, 60, late)?.vip4)
  expect(new Set(given).size).toBe(65_023)
  expect(given).not.toContain(victim.vip4)
  expect(pool.serverByVip(victim.vip4)).toMatchObject({ name: 'victim.example' })
  // Two days later it may go.
  expect(take(pool, id(4), 'later.example', 60, T0 + 48 * HOUR)?.vip4).toBe(victim.vip4)
}, 60_000)

test('no address names two servers within quarantine, whatever comes in between, restarts too', () => {
  const command = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        do: fc.constant('take' as const),
        node: fc.nat(2),
        name: fc.nat(9),
        ttl: fc.constantFrom(5, 60, 7200, 86_400),
        ahead: fc.boolean(),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        do: fc.constantFrom('fail' as const, 'crash' as const),
        node: fc.nat(2),
        name: fc.nat(9),
        ahead: fc.boolean(),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant('wait' as const), hours: fc.constantFrom(0.1, 0.9, 5, 23.5, 25, 300) }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('packet' as const), node: fc.nat(2) }) },
  )
  fc.assert(
    fc.property(fc.array(command, { maxLength: 120 }), (commands) => {
      const store = new MemoryStore()
      const packets = new Map<string, number>()
      const lastPacket: LastPacket = (node) => wallTime(packets.get(nodeKey(node)) ?? 0)
      let pool = new ServerPool(store, plan('198.19.0.0/29'), nodeCrypto, lastPacket, 4)
      let now = T0
      /** address → what it names, and until when nobody else may have it */
      const told = new Map<number, { who: string; node: NodeId; until: number }>()
      for (const c of commands) {
        switch (c.do) {
          case 'wait':
            now += c.hours * HOUR
            break
          case 'restart':
            pool = new ServerPool(store, plan('198.19.0.0/29'), nodeCrypto, lastPacket, 4)
            break
          case 'packet':
            packets.set(nodeKey(id(c.node)), now)
            break
          case 'fail':
          case 'crash':
            pool.reserve(id(c.node), `n${c.name}.example`, wallTime(now))
            if (c.ahead) pool.writeAhead(wallTime(now))
            if (c.do === 'fail') pool.cancel(id(c.node), `n${c.name}.example`)
            else pool = new ServerPool(store, plan('198.19.0.0/29'), nodeCrypto, lastPacket, 4)
            break
          case 'take': {
            const who = `${c.node}/n${c.name}.example`
            const pair = take(pool, id(c.node), `n${c.name}.example`, c.ttl, now, c.ahead)
            if (pair === null) break
            const before = told.get(pair.vip4)
            if (before !== undefined && before.who !== who) {
              expect(now).toBeGreaterThanOrEqual(before.until)
              expect(now).toBeGreaterThanOrEqual((packets.get(nodeKey(before.node)) ?? 0) + 2 * HOUR)
            }
            const until = now + c.ttl * 1000 + Math.max(24 * HOUR, 10_000 * c.ttl)
            told.set(pair.vip4, {
              who,
              node: id(c.node),
              until: Math.max(until, before?.who === who ? before.until : 0),
            })
          }
        }
      }
      const rows = store.servers()
      expect(new Set(rows.map((r) => r.pair.vip4)).size).toBe(rows.length)
      expect(pool.provisional).toBe(0)
    }),
    { numRuns: 300 },
  )
})

test('the same node and name keep their pair over a restart; another node gets another', () => {
  const store = new MemoryStore()
  const first = take(new ServerPool(store, plan('198.19.0.0/16'), nodeCrypto, idle, 9), id(1), 'a.example', 60, T0)!
  const pool = new ServerPool(store, plan('198.19.0.0/16'), nodeCrypto, idle, 9)
  expect(take(pool, id(1), 'a.example', 60, T0 + 1)).toEqual(first)
  const other = take(pool, id(2), 'a.example', 60, T0 + 1)!
  expect(other.vip4).not.toBe(first.vip4)
  expect(other.vip6).not.toEqual(first.vip6)
  expect(pool.serverByVip(first.vip6)).toMatchObject({ node: id(1), name: 'a.example' })
})

test('a reservation that fails leaves no row and its address is free at once', () => {
  const store = new MemoryStore()
  const pool = ofTwo(store, idle, 9)
  for (let i = 0; i < 50; i++) {
    expect(pool.reserve(id(1), `fails-${i}.example`, wallTime(T0))).not.toBeNull()
    pool.cancel(id(1), `fails-${i}.example`)
  }
  expect(store.servers().filter((row) => row.name !== 'filler.example')).toEqual([])
  expect(pool.provisional).toBe(0)
})

test('a promise on disk before its answer: the answer writes nothing, and a failure leaves no row', () => {
  const store = new MemoryStore()
  const pool = ofTwo(store, idle, 9)
  const rows = () => store.servers().filter((row) => row.name !== 'filler.example')
  const [yes, no] = ['yes.example', 'no.example']
  const pair = pool.reserve(id(1), yes, wallTime(T0))
  pool.reserve(id(1), no, wallTime(T0))
  pool.writeAhead(wallTime(T0))
  expect(rows().map((row) => row.name)).toEqual([yes, no])
  const written = rows()
  pool.commit(id(1), yes, 60, wallTime(T0 + 500))()
  expect(rows()).toEqual(written)
  pool.cancel(id(1), no)
  // Its address is free at once, also for a name that is answered before the disk was tidied.
  expect(take(pool, id(2), 'next.example', 60, T0)?.vip4).toBe(written[1]?.pair.vip4)
  expect(rows().map((row) => row.name)).toEqual([yes, 'next.example'])
  // A name whose TTL asks for a longer quarantine than was written is written again.
  expect(take(pool, id(1), yes, 86_400, T0)).toEqual(pair)
  expect(rows()[0]?.quarantinedUntil).toBeGreaterThanOrEqual(T0 + 11 * 24 * HOUR)
})

test('what was put on disk and then refused is taken off with the next write', () => {
  const store = new MemoryStore()
  const pool = ofTwo(store, idle, 9)
  pool.reserve(id(1), 'no.example', wallTime(T0))
  pool.writeAhead(wallTime(T0))
  pool.cancel(id(1), 'no.example')
  pool.writeAhead(wallTime(T0))
  expect(store.servers().filter((row) => row.name !== 'filler.example')).toEqual([])
})

test('a failed question about a known name does not give its address away', () => {
  const pool = ofTwo(new MemoryStore(), idle, 9)
  const known = take(pool, id(1), 'a.example', 60, T0)
  take(pool, id(1), 'b.example', 60, T0)
  pool.reserve(id(1), 'a.example', wallTime(T0))
  pool.cancel(id(1), 'a.example')
  expect(take(pool, id(1), 'c.example', 60, T0)).toBeNull()
  expect(take(pool, id(1), 'a.example', 60, T0)).toEqual(known)
})

test('an address in use by a request under way is not taken away, and a node has a share', () => {
  const pool = ofTwo(new MemoryStore(), idle, 1)
  const mine = take(pool, id(1), 'a.example', 60, T0)!
  expect(take(pool, id(1), 'b.example', 60, T0)).toBeNull()
  take(pool, id(2), 'a.example', 60, T0)
  // Both addresses of the range are out of quarantine, but one is being asked for again.
  expect(pool.reserve(id(1), 'a.example', wallTime(T0 + 100 * HOUR))).toEqual(mine)
  const taken = take(pool, id(3), 'c.example', 60, T0 + 100 * HOUR)
  expect(taken?.vip4).not.toBe(mine.vip4)
  expect(take(pool, id(4), 'd.example', 60, T0 + 100 * HOUR)).toBeNull()
})

test('an address whose node still sent packets an hour ago stays quarantined', () => {
  let lastPacket = 0
  const pool = ofTwo(new MemoryStore(), () => wallTime(lastPacket), 9)
  const names = ['a.example', 'b.example']
  for (const name of names) take(pool, id(1), name, 60, T0)
  lastPacket = T0 + 99 * HOUR
  expect(take(pool, id(2), 'c.example', 60, T0 + 100 * HOUR)).toBeNull()
  expect(take(pool, id(2), 'c.example', 60, T0 + 101 * HOUR)).not.toBeNull()
})

test('what stands for routers in ICMP errors is never given to a server', () => {
  const of = plan('198.19.0.0/29')
  const { router4, routers6 } = routerStandIns(of.servers4, of.servers6)
  expect([ip4Text(router4), ip6Text(routers6)]).toEqual(['198.19.0.6', 'fd00:2::ffff:ffff:0:0'])
  const pool = new ServerPool(new MemoryStore(), of, nodeCrypto, idle, 99)
  const given = Array.from({ length: 8 }, (_, i) => take(pool, id(1), `${i}.example`, 60, T0)?.vip4)
  expect(given.filter((ip) => ip !== undefined).length).toBe(5)
  expect(given).not.toContain(router4)
  // A hash that falls into the routers' /96 first, and elsewhere when asked again.
  let hashes = 0
  const suite = { hash: () => new Uint8Array(32).fill(hashes++ === 0 ? 0xff : 0x11) }
  const six = take(new ServerPool(new MemoryStore(), of, suite, idle, 9), id(1), 'a.example', 60, T0)!.vip6
  expect(ip6Text(six)).toBe('fd00:2::1111:1111:1111:1111')
})

const PLAN = {
  nodes4: prefix('198.18.0.0/24'),
  servers4: prefix('198.19.0.0/24'),
  nodes6: prefix('fd00:1::/48'),
  servers6: prefix('fd00:2::/64'),
}

test('members and hosts: rising addresses, none twice, null at the end', () => {
  const store = new MemoryStore()
  const ranges = { plan: { ...PLAN, nodes4: prefix('198.18.0.0/29') }, slice: null }
  const seen: number[] = []
  for (let i = 0; ; i++) {
    const vip4 = nextNodeVip4(store, ranges)
    if (vip4 === null) break
    seen.push(vip4)
    const host = new Uint8Array(8).fill(i)
    store.putHost({
      node: id(1),
      host,
      name: '',
      pair: { vip4, vip6: hostVip6(prefix('fd00:1::/48'), nodeCrypto, id(1), host) },
    })
  }
  expect(seen.length).toBe(6)
  expect(new Set(seen).size).toBe(6)
})

test('each zone gives out its own slice, and nothing of what it passed on', () => {
  const of = (own: string, ...given: string[]) => {
    const store = new MemoryStore()
    const ranges = { plan: PLAN, slice: { own: prefix(own), given: given.map(prefix) } }
    const seen: string[] = []
    for (let i = 0; ; i++) {
      const vip4 = nextNodeVip4(store, ranges)
      if (vip4 === null) return seen
      seen.push(ip4Text(vip4))
      const host = new Uint8Array(8).fill(i)
      const vip6 = hostVip6(PLAN.nodes6, nodeCrypto, id(1), host)
      store.putHost({ node: id(1), host, name: '', pair: { vip4, vip6 } })
    }
  }
  const first = of('198.18.0.0/28', '198.18.0.8/30', '198.18.0.12/30')
  const other = of('198.18.0.8/30')
  expect(first).toEqual([1, 2, 3, 4, 5, 6, 7].map((n) => `198.18.0.${n}`))
  expect(other).toEqual([9, 10].map((n) => `198.18.0.${n}`))
})

function take(
  pool: ServerPool,
  node: NodeId,
  name: string,
  ttl: number,
  at: number,
  ahead = false,
): VirtualPair | null {
  const today = wallTime(at) as WallTime
  const pair = pool.reserve(node, name, today)
  if (ahead) pool.writeAhead(today)
  if (pair !== null) pool.commit(node, name, ttl, today)()
  return pair
}
function id(n: number): NodeId {
  return nodeId(new Uint8Array(16).fill(n))
}
function prefix(text: string): Prefix {
  return parsePrefix(text)!
}

/** A pool with two addresses left; the others are busy for longer than any test here. */
function ofTwo(store: MemoryStore, lastPacket: LastPacket, perNode: number): ServerPool {
  const pool = new ServerPool(store, plan('198.19.0.0/29'), nodeCrypto, lastPacket, perNode)
  for (let i = 0; i < 3; i++) take(pool, id(90 + i), 'filler.example', 86_400, T0)
  return pool
}

test('a cancelled promise is kept for its name: a terminator that answered too late knows the name by that address', () => {
  const pool = new ServerPool(new MemoryStore(), plan('198.19.0.0/24'), nodeCrypto, idle, 100)
  const [node, today] = [id(1), wallTime(T0)]
  const first = pool.reserve(node, 'late.example', today)
  pool.cancel(node, 'late.example')
  const other = pool.reserve(node, 'other.example', today)
  expect(other?.vip4).not.toBe(first?.vip4)
  expect(pool.reserve(node, 'late.example', today)?.vip4).toBe(first?.vip4)
})
