import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, describe, expect, test } from 'vitest'
import { packetIo } from '#io/native.ts'
import type { UdpPort } from '#native/packet-io/index.d.ts'
import type { DatagramRuns } from '#ntm-lib/plane/engine.ts'
import { shared } from '#ntm-lib/ports/packet-port.ts'

const io = packetIo()
const LOOPBACK = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1)
const opened: UdpPort[] = []
function open(): UdpPort {
  const port = io.openUdp(LOOPBACK, 0, 4, 0, false, 0, '', true)
  if (typeof port === 'number') throw new Error(`openUdp: ${port}`)
  opened.push(port)
  return port
}
afterAll(() => {
  for (const port of opened) io.close(port)
})

const SLOT = 2048
const slots = (): Slots => ({
  arena: shared(Uint8Array, 4 * SLOT),
  lens: shared(Uint32Array, 4),
  segs: shared(Uint16Array, 4),
  addrs: shared(Uint8Array, 64),
  ports: shared(Uint16Array, 4),
})
type Slots = Pick<DatagramRuns, 'arena' | 'lens' | 'segs' | 'addrs' | 'ports'>
const bindRecv = (port: UdpPort, s: Slots, locals: Uint8Array | null = null): (() => number) =>
  io.bindRecvRuns(port, s.arena, SLOT, s.lens, s.segs, s.addrs, s.ports, locals)

/** To `port`: a datagram with these bytes at the start of the arena. */
function bindSend(from: UdpPort, port: number, bytes: number[]): { send: (count: number) => number; runs: Int32Array } {
  const [arena, runs, addrs, ports] = [
    shared(Uint8Array, 64),
    shared(Int32Array, 8),
    shared(Uint8Array, 16),
    shared(Uint16Array, 1),
  ]
  arena.set(bytes)
  addrs.set(LOOPBACK)
  ports[0] = port
  runs.set([0, 0, bytes.length, bytes.length])
  return { send: io.bindSendRuns(from, arena, runs, addrs, ports, null), runs }
}

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void
/** Two turns: finalizers run behind the first. */
async function collected(): Promise<void> {
  for (let i = 0; i < 3; i++) {
    gc()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

describe('bound calls', () => {
  test('carry datagrams as the plain ones do', () => {
    const [a, b, s] = [open(), open(), slots()]
    const recv = bindRecv(b, s, shared(Uint8Array, 64))
    const { send } = bindSend(a, b.port, [7, 8, 9])
    expect(recv()).toBe(0)
    expect(send(1)).toBe(1)
    expect(recv()).toBe(1)
    expect([...s.arena.subarray(0, 3), s.lens[0], s.segs[0], s.ports[0]]).toEqual([7, 8, 9, 3, 3, a.port])
  })

  test('take no memory that may go away', () => {
    const [port, s] = [open(), slots()]
    const resizable = new Uint8Array(new ArrayBuffer(64, { maxByteLength: 128 }))
    const gone = new Uint8Array(64)
    structuredClone(gone.buffer, { transfer: [gone.buffer] })
    for (const addrs of [new Uint8Array(64), resizable, gone])
      expect(() => bindRecv(port, { ...s, addrs })).toThrow(/SharedArrayBuffer|one entry per slot/)
    expect(() => bindRecv(port, s, new Uint8Array(64))).toThrow(/SharedArrayBuffer/)
    expect(() => bindRecv(port, { ...s, lens: new Uint32Array(new ArrayBuffer(16)) })).toThrow(/SharedArrayBuffer/)
    expect(() => bindRecv(port, { ...s, addrs: shared(Uint8Array, 63) })).toThrow(RangeError)
    expect(() => bindRecv(port, { ...s, segs: shared(Int16Array, 4) as unknown as Uint16Array })).toThrow(TypeError)
    expect(() => bindRecv({} as UdpPort, s)).toThrow(/not a port/)
  })

  test('of memory that grew reach no further than when they were made', () => {
    const [a, b, s] = [open(), open(), slots()]
    const buffer = new SharedArrayBuffer(16, { maxByteLength: 64 })
    const runs = new Int32Array(buffer)
    const send = io.bindSendRuns(a, s.arena, runs, s.addrs, s.ports, null)
    s.addrs.set(LOOPBACK)
    s.ports[0] = b.port
    buffer.grow(64)
    for (let i = 0; i < 4; i++) runs.set([0, 0, 1, 1], 4 * i)
    expect(send(1)).toBe(1)
    expect(() => send(2)).toThrow(RangeError)
  })

  test('still check what they are told each time', () => {
    const [a, b] = [open(), open()]
    const { send, runs } = bindSend(a, b.port, [1])
    for (const wrong of [3, -1, 0.5, Number.NaN, 2 ** 32]) expect(() => send(wrong)).toThrow(RangeError)
    for (const wrong of [undefined, null, '1', {}, 1n]) expect(() => send(wrong as number)).toThrow(TypeError)
    expect(() => (send as () => number)()).toThrow(TypeError)
    expect(() => (send as (...a: number[]) => number)(1, 1)).toThrow(TypeError)
    for (const [word, value] of [
      [0, 1],
      [0, -1],
      [1, 64],
      [1, -1],
      [2, 65],
      [2, 0],
      [3, 0],
    ] as const) {
      const before = runs[word] ?? 0
      runs[word] = value
      expect(() => send(1), `word ${word}: ${value}`).toThrow(RangeError)
      runs[word] = before
    }
    expect(send(1)).toBe(1)
  })

  test('throw once their port is closed', () => {
    const [port, other, s] = [open(), open(), slots()]
    const [recv, { send }] = [bindRecv(port, s), bindSend(port, other.port, [1])]
    io.close(port)
    opened.splice(opened.indexOf(port), 1)
    expect(recv).toThrow(/closed/)
    expect(() => send(1)).toThrow(/closed/)
  })

  test('seal and open need the words and the status of every job', () => {
    const keys = io.newKeys(1, 1)
    io.setSeal(keys, 0, 1, new Uint8Array(16), new Uint8Array(12), 100, 1e6)
    io.setOpen(keys, 0, 1, new Uint8Array(16), new Uint8Array(12), 64)
    const [jobs, headers, arena, out] = [
      shared(Int32Array, 24),
      shared(Uint8Array, 16),
      shared(Uint8Array, 256),
      shared(Uint8Array, 256),
    ]
    const [runs, status, done] = [shared(Int32Array, 8), shared(Int8Array, 2), shared(Int32Array, 4)]
    const seal = io.bindSeal(keys, jobs, headers, arena, out, runs, status, done)
    arena.set([1, 2, 3])
    for (let i = 0; i < 3; i++) jobs.set([0, 0, 0, 3, 0, 0, 1400, 0], 8 * i)
    expect(() => seal(0, 3)).toThrow(/one per job/)
    expect(() => seal(2, 1)).toThrow(RangeError)
    expect(() => (seal as (first: number) => number)(0)).toThrow(TypeError)
    expect(() => io.bindSeal(keys, jobs, headers, arena, arena, runs, status, done)).toThrow(/overlap/)
    expect(seal(0, 1)).toBe(1)
    expect([done[1], done[2], status[0]]).toEqual([1, 35, 0])
    const [opens, lens, gso, meta] = [
      shared(Int32Array, 4),
      shared(Uint32Array, 1),
      shared(Uint16Array, 1),
      shared(Int32Array, 3),
    ]
    const openRange = io.bindOpen(keys, opens, out, arena, 256, 64, lens, gso, meta, true, 9000, status, done)
    opens.set([0, 0, 35, 0])
    expect(openRange(0, 1)).toBe(1)
    expect([status[0], lens[0], ...arena.subarray(64, 67)]).toEqual([0, 3, 1, 2, 3])
    io.clearOpen(keys, 0)
    expect(openRange(0, 1)).toBe(1)
    expect(status[0]).toBe(-1)
  })

  test('hold what they were made of, and let it go', async () => {
    const [a, b] = [open(), open()]
    const arena = new WeakRef(slots())
    const held = (() => {
      const s = arena.deref() as Slots
      return { recv: bindRecv(b, s), bytes: new WeakRef(s.arena), keys: weakKeys() }
    })()
    const kept: { recv: (() => number) | null } = { recv: held.recv }
    Reflect.deleteProperty(held, 'recv')
    await collected()
    expect(held.bytes.deref()).toBeDefined()
    bindSend(a, b.port, [5]).send(1)
    expect(kept.recv?.()).toBe(1)
    expect(held.bytes.deref()?.[0]).toBe(5)
    kept.recv = null
    await collected()
    await collected()
    expect(held.bytes.deref()).toBeUndefined()
    expect(held.keys.deref()).toBeUndefined()
  })
})

/** Keys that a bound call alone held, which nobody holds. */
function weakKeys(): WeakRef<object> {
  const keys = io.newKeys(1, 1)
  const words = shared(Int32Array, 32)
  io.bindSeal(
    keys,
    words,
    shared(Uint8Array, 16),
    shared(Uint8Array, 64),
    shared(Uint8Array, 64),
    words,
    shared(Int8Array, 4),
    words,
  )
  return new WeakRef(keys)
}
