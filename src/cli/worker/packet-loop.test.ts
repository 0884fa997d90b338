import { expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { NO_COUNTS } from '#io/native.ts'
import type { UdpRuns } from '#io/udp-runs.ts'
import type { PacketIo } from '#native/packet-io/index.d.ts'
import { instant } from '#ntm-lib/base/time.ts'
import type { MirrorEvent } from '#ntm-lib/negotiate/mirror.ts'
import { CELLS } from '#ntm-lib/negotiate/mirror.ts'
import type { DatagramRuns } from '#ntm-lib/plane/engine.ts'
import { ScriptEngine } from '#ntm-lib/plane/engine-script.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { quiet } from '#ntm-lib/ports/log.ts'
import { endpointOf } from '#test/support/route.ts'
import { Gates, gateMemory, MOST_OF_STRANGERS } from './gates.ts'
import { PacketLoop } from './packet-loop.ts'
import type { PacketSaid } from './words.ts'

test('datagrams of strangers are told in one message a turn, and no more than wait for the control thread', async () => {
  const l = await loop()
  l.arrive(10)
  expect(l.said.map(events)).toEqual([10])
  for (let i = 0; i < 200; i++) l.arrive(10)
  expect(l.told()).toBe(MOST)
  expect(l.counters.get('ntm.drop.control-busy.datagram')).toBe(10 + 2000 - MOST)
  const [ten] = l.said
  if (ten !== undefined) l.gates.leave(ten)
  l.arrive(10)
  expect(l.told()).toBe(MOST + 10)
})

test("of the kernel's errors only those about sizes are told, and no more than wait", async () => {
  const l = await loop()
  for (let i = 0; i < 2 * MOST; i++) l.error('ECONNREFUSED')
  expect(l.said).toEqual([])
  for (let i = 0; i < 2 * MOST; i++) l.error('EMSGSIZE')
  expect(l.said).toHaveLength(MOST)
})

test('what is told is a copy: the next turn reads into the same memory', async () => {
  const l = await loop()
  l.arrive(2)
  const [first] = l.said
  const before = first?.said === 'mirror' ? first.events.map(bytesOf) : []
  l.arrive(2)
  expect(first?.said === 'mirror' ? first.events.map(bytesOf) : []).toEqual(before)
  expect(new Set(l.said.flatMap((s) => (s.said === 'mirror' ? s.events.map(bytesOf) : []))).size).toBe(4)
  for (const s of l.said) {
    // A clone of a small view would take the whole of its memory along.
    for (const e of s.said === 'mirror' ? s.events : []) {
      expect(e.event === 'datagram' ? e.bytes.buffer.byteLength : 0).toBe(SIZE)
    }
  }
})

test('a turn ends after a few rounds, so that orders get theirs', async () => {
  const l = await loop()
  l.arrive(100_000, 1)
  expect(l.rounds).toBe(4)
})

test('orders are obeyed in their order', async () => {
  const l = await loop()
  const to = endpointOf('192.0.2.1:4330')
  l.loop.obey([
    { order: 'role', input: 'one' },
    { order: 'mirror', command: { mirror: 'gone', row: 3 } },
    { order: 'send', via: null, to, bytes: Uint8Array.of(7) },
    { order: 'role', input: 'two' },
  ])
  expect(l.story).toEqual(['role one', 'mirrored gone', 'sent 7', 'role two'])
  expect(await l.loop.ask('what')).toBe('role what')
  await l.loop.stop()
  l.loop.obey([{ order: 'role', input: 'late' }])
  expect(l.story.slice(4)).toEqual(['role what', 'stopped', 'closed'])
})

test("ports' counts are told as they rise, each once", async () => {
  const l = await loop()
  l.ports.in = 5
  l.loop.countPorts()
  l.ports.in = 7
  l.loop.countPorts()
  l.loop.countPorts()
  expect(l.counters.get('port.udp.in')).toBe(7)
  expect(l.counters.get('port.leg.out')).toBe(1)
})

async function loop() {
  const counters = new CounterMap()
  const said: PacketSaid[] = []
  const story: string[] = []
  const gates = new Gates(gateMemory())
  const ports = { ...NO_COUNTS }
  let tellError: Parameters<UdpRuns['onError']>[0] = () => {}
  let [wake, waiting, perRound, rounds, number] = [() => {}, 0, 0, 0, 0]
  const udp: UdpRuns = {
    port: 4330,
    get counters() {
      return { ...ports }
    },
    errors: new Map(),
    recv: (into) => {
      rounds++
      into.count = Math.min(waiting, perRound, into.lens.length)
      waiting -= into.count
      for (let i = 0; i < into.count; i++) fill(into, i, number++)
      // As a socket with more than one round's worth: every slot in use.
      return into.count
    },
    send: () => {},
    sendOne: (_, bytes) => void story.push(`sent ${bytes[0]}`),
    onReadable: (f) => {
      wake = f
    },
    onError: (f) => {
      tellError = f
    },
    steer: () => {},
    close: () => void story.push('closed'),
  }
  const { loop } = await PacketLoop.start(
    {
      udp,
      io: {} as PacketIo,
      engine: new ScriptEngine(nodeCrypto),
      cells: new Float64Array(CELLS.words * 4),
      index: 0,
      workers: 1,
      clock: { now: () => instant(0) },
      counters,
      log: quiet,
      gates,
      say: (s) => void said.push(s),
      fail: () => {},
    },
    async () => ({
      role: {
        handle: (input) => {
          story.push(`role ${String(input)}`)
          return `role ${String(input)}`
        },
        mirrored: (c) => void story.push(`mirrored ${c.mirror}`),
        inner: () => {},
        afterOpen: () => {},
        ports: () => [['leg', { ...NO_COUNTS, out: 1 }]],
        stop: () => void story.push('stopped'),
      },
    }),
  )
  return {
    loop,
    counters,
    said,
    story,
    gates,
    ports,
    get rounds() {
      return rounds
    },
    error: (code: string) => tellError({ to: endpointOf('192.0.2.1:1'), code, pathMtuBytes: null }),
    told: () => said.reduce((sum, s) => sum + events(s), 0),
    arrive: (count: number, each = Number.POSITIVE_INFINITY) => {
      waiting = count
      perRound = each === 1 ? Number.POSITIVE_INFINITY : count
      wake()
      waiting = 0
    },
  }
}

/** A control datagram of class 1 with its number in it. */
function fill(into: DatagramRuns, i: number, number: number): void {
  const at = i * into.slotBytes
  into.arena.fill(0, at, at + SIZE)
  into.arena[at] = 0x11
  into.view.setUint32(at + 20, number)
  into.lens[i] = SIZE
  into.segs[i] = SIZE
  into.ports[i] = 4330
}

const events = (s: PacketSaid): number => (s.said === 'mirror' ? s.events.length : 0)
const bytesOf = (e: MirrorEvent): string => (e.event === 'datagram' ? Buffer.from(e.bytes).toString('hex') : '')
const SIZE = 64
const MOST = MOST_OF_STRANGERS
