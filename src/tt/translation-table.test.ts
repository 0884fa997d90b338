import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ipText, parseIp } from '#ntm-lib/addr/ip.ts'
import { ip4FromWord, parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { ip6FromBytes } from '#ntm-lib/addr/ip6.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import { instant, millis, seconds } from '#ntm-lib/base/time.ts'
import { candidates, type ServerEntry, stableOrder } from './server-entry.ts'
import { TranslationTable } from './translation-table.ts'

const pair = (n: number): VirtualPair => {
  const six = new Uint8Array(16)
  six.set([0xfd, 0, 0, 1, 0, 3])
  new DataView(six.buffer).setUint32(12, n)
  return { vip4: ip4FromWord(parseIp4('198.19.0.0')! + n), vip6: ip6FromBytes(six) }
}
const ips = (...texts: string[]) => texts.map((t) => parseIp(t)!)
const at = (s: number) => instant(s * 1000)
const taken = (got: ReturnType<TranslationTable['install']>): ServerEntry => {
  if (typeof got === 'string') throw new Error(got)
  return got
}

test('a server is found by both its virtual addresses, and only by its node', () => {
  const table = new TranslationTable(10)
  const entry = taken(table.install('a', 'www.example', pair(1), ips('2001:db8::1'), seconds(60), at(0)))
  expect(table.byVirtual('a', pair(1).vip4)).toBe(entry)
  expect(table.byVirtual('a', pair(1).vip6)).toBe(entry)
  expect(table.byVirtual('b', pair(1).vip4)).toBe(null)
  expect(table.byVirtual('a', pair(2).vip4)).toBe(null)
})

test('a virtual address never gets another name’s meaning, not even after the entry is gone', () => {
  const table = new TranslationTable(10)
  table.install('a', 'one.example', pair(1), ips('8.8.8.8'), seconds(30), at(0))
  expect(table.install('a', 'two.example', pair(1), ips('9.9.9.9'), seconds(30), at(1))).toBe('virtual-address-in-use')
  table.tick(at(1000))
  expect(table.size('a')).toBe(0)
  expect(table.install('a', 'two.example', pair(1), ips('9.9.9.9'), seconds(30), at(1001))).toBe(
    'virtual-address-in-use',
  )
  expect(typeof table.install('a', 'one.example', pair(1), ips('9.9.9.9'), seconds(30), at(1002))).toBe('object')
  table.tick(at(2000))
  table.tick(at(2001 + 86_400))
  expect(typeof table.install('a', 'two.example', pair(1), ips('9.9.9.9'), seconds(30), at(2002 + 86_400))).toBe(
    'object',
  )
})

test('a name takes another address when the coordinator says so, unless connections are open; the old one stays its own', () => {
  const table = new TranslationTable(10)
  const entry = taken(table.install('a', 'one.example', pair(1), ips('8.8.8.8'), seconds(30), at(0)))
  entry.flows = 1
  const other = () => table.install('a', 'one.example', pair(2), ips('8.8.8.8'), seconds(30), at(1))
  expect(other()).toBe('virtual-address-in-use')
  entry.flows = 0
  const fresh = taken(other())
  expect([table.byVirtual('a', pair(1).vip4), table.byVirtual('a', pair(2).vip4)]).toEqual([null, fresh])
  expect(table.size('a')).toBe(1)
  expect(table.install('a', 'two.example', pair(1), ips('9.9.9.9'), seconds(30), at(2))).toBe('virtual-address-in-use')
})

test('a node’s servers are bounded, and a name without addresses is not taken in', () => {
  const table = new TranslationTable(2)
  for (const n of [1, 2]) table.install('a', `${n}.example`, pair(n), ips('8.8.8.8'), seconds(30), at(0))
  expect(table.install('a', '3.example', pair(3), ips('8.8.8.8'), seconds(30), at(0))).toBe('node-full')
  expect(typeof table.install('b', '3.example', pair(3), ips('8.8.8.8'), seconds(30), at(0))).toBe('object')
  expect(table.install('b', '4.example', pair(4), [], seconds(30), at(0))).toBe('no-address')
})

test('the order of addresses is stable per node, spreads nodes, and only the users of a lost address move', () => {
  const all = ips('2001:db8::1', '2001:db8::2', '2001:db8::3', '192.0.2.1')
  const firsts = new Map<string, number>()
  for (let i = 0; i < 200; i++) {
    const order = stableOrder(`node${i}`, all).map(ipText)
    expect(stableOrder(`node${i}`, [...all].reverse()).map(ipText)).toEqual(order)
    const first = order[0] as string
    firsts.set(first, (firsts.get(first) ?? 0) + 1)
    if (first !== '192.0.2.1') expect(stableOrder(`node${i}`, all.slice(0, 3)).map(ipText)[0]).toBe(first)
  }
  expect([...firsts.values()].every((n) => n > 20)).toBe(true)
})

test('new flows prefer the host’s family and avoid what was unreachable, for a while', () => {
  const table = new TranslationTable(10)
  const entry = taken(
    table.install('a', 'x', pair(1), ips('192.0.2.1', '192.0.2.2', '2001:db8::1'), seconds(600), at(0)),
  )
  const first = candidates(entry, 4, at(1))
  expect(first.map((ip) => typeof ip)).toEqual(['number', 'number', 'object'])
  expect(ipText(candidates(entry, 6, at(1))[0]!)).toBe('2001:db8::1')
  table.unreachable(entry, first[0]!, at(1))
  expect(candidates(entry, 4, at(2))).toEqual([first[1], first[2], first[0]])
  expect(candidates(entry, 4, at(62))).toEqual(first)
})

test('an entry in use is resolved again before its TTL ends, once, and one that is not used dies', () => {
  const table = new TranslationTable(10)
  const entry = taken(table.install('a', 'x', pair(1), ips('192.0.2.1'), seconds(100), at(0)))
  expect(table.deadline()).toBe(at(80))
  expect(table.due(at(79))).toEqual([])
  expect(table.due(at(80))).toEqual([entry])
  expect(table.due(at(81))).toEqual([])
  table.refresh(entry, ips('192.0.2.9'), seconds(100), at(81))
  expect(entry.addresses.map(ipText)).toEqual(['192.0.2.9'])
  table.due(at(200))
  table.resolutionFailed(entry, at(200))
  expect(entry.addresses.map(ipText)).toEqual(['192.0.2.9'])
  expect(table.due(at(205))).toEqual([entry])
  table.resolutionFailed(entry, at(205))
  table.tick(at(599))
  expect(table.size('a')).toBe(1)
  table.tick(at(600))
  expect(table.size('a')).toBe(0)
  expect(table.deadline()).toBe(null)
})

test('an entry with flows outlives its record', () => {
  const table = new TranslationTable(10)
  const entry = taken(table.install('a', 'x', pair(1), ips('192.0.2.1'), seconds(30), at(0)))
  entry.flows = 1
  table.tick(at(100_000))
  expect(table.size('a')).toBe(1)
  entry.flows = 0
  table.tick(at(100_001))
  expect(table.size('a')).toBe(0)
})

test('after a tick at its deadline the table never asks for a deadline in the past', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(8), fc.integer({ min: 1, max: 5000 }), fc.nat(3)), { maxLength: 20, size: 'max' }),
      (steps) => {
        const table = new TranslationTable(20)
        let now = 0
        for (const [n, ttl, use] of steps) {
          const entry = table.install('a', `${n}`, pair(n), ips('192.0.2.1'), millis(ttl * 1000), instant(now))
          if (typeof entry !== 'string') entry.flows = use === 0 ? 1 : 0
          for (let i = 0; i < 3; i++) {
            now = Math.max(now, table.deadline() ?? now) + use
            for (const due of table.due(instant(now))) table.resolutionFailed(due, instant(now))
            table.tick(instant(now))
            const next = table.deadline()
            expect(next === null || next > now).toBe(true)
          }
        }
      },
    ),
  )
})
