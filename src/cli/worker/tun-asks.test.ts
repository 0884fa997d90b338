import { expect, onTestFinished, test } from 'vitest'
import { type Ip, ipText, parseIp } from '#ntm-lib/addr/ip.ts'
import { instant, millis } from '#ntm-lib/base/time.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { innerPacket } from '#test/support/inner.ts'
import { TunAsks } from './tun-asks.ts'

const ME = '198.18.0.1'
const BOB = parseIp('198.18.0.2')!
const BOB6 = parseIp('fd12::2')!

test('one question per address; what waited goes on in order when a path leads there', () => {
  const w = world()
  expect([1, 2, 3].map((n) => w.send(BOB, 60 + n))).toEqual(['kept', 'kept', 'kept'])
  expect(w.send(BOB6, 80)).toBe('kept')
  expect(w.told).toEqual(['198.18.0.2', 'fd12::2'])
  w.leading.add('198.18.0.2')
  w.asks.routed(BOB, instant(10))
  expect(w.done).toEqual([{ lengths: [61, 62, 63], found: true }])
  w.asks.refused(BOB6, instant(10))
  expect(w.done[1]).toEqual({ lengths: [80], found: false })
  expect(w.send(BOB6, 80, 20)).toBe('refused')
  expect(w.told).toHaveLength(2)
  // A path by another way: the refusal is forgotten.
  w.asks.routed(BOB6, instant(30))
  expect(w.send(BOB6, 80, 40)).toBe('kept')
})

test('a path that appears by itself lets go what waits for it, and nothing else', () => {
  const w = world()
  w.send(BOB, 60)
  w.send(BOB6, 80)
  w.leading.add('fd12::2')
  w.asks.mirrored({ mirror: 'path', path: { leads: true } } as never, instant(5))
  expect(w.done).toEqual([{ lengths: [80], found: true }])
})

test('eight packets wait for one address, more are not kept; a kept packet is a copy', () => {
  const w = world()
  const said = Array.from({ length: 10 }, () => w.send(BOB, 60))
  expect(said.filter((s) => s === 'kept')).toHaveLength(8)
  expect(said.slice(8)).toEqual(['full', 'full'])
})

function world() {
  const told: string[] = []
  const done: { lengths: number[]; found: boolean }[] = []
  const leading = new Set<string>()
  const asks = new TunAsks({
    tell: ({ vip }) => told.push(ipText(vip)),
    leads: (vip) => leading.has(ipText(vip)),
    done: (waited, found) =>
      done.push({ lengths: waited.map((p) => (p.packet[0] === 0 ? 0 : p.packet.length)), found }),
    counters: new CounterMap(),
    clock: { now: () => instant(millis(0)) },
  })
  onTestFinished(() => asks.stop())
  const send = (to: Ip, bytes: number, now = 0): string => {
    const packet = innerPacket(typeof to === 'number' ? ME : 'fd12::1', ipText(to), bytes)
    const v = new DataView(packet.buffer, packet.byteOffset, packet.length)
    const said = asks.ask(v, 0, packet.length, 0, instant(now))
    packet.fill(0)
    return said
  }
  return { asks, told, done, leading, send }
}
