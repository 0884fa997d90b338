import assert from 'node:assert/strict'
import type { PacketIo, Port, UdpPort } from '#native/packet-io/index.d.ts'

/**
 * Calls every function of the addon `rounds` times with arguments of which none, one or two are not what it expects,
 * while datagrams wait to be written somewhere. Each call must return or throw an Error; the memory around the arrays
 * that were passed must stay as it was. What a `bind…` returns is called too, at once and after its port is closed. Repeatable by its seed.
 */
export function misuse(io: PacketIo, seed: number, rounds: number): { threw: number; returned: number } {
  const random = generator(seed)
  const pick = <T>(from: readonly T[]): T => from[random() % from.length] as T
  let [threw, returned] = [0, 0]
  const bound: (() => unknown)[] = []

  for (let round = 0; round < rounds; round++) {
    const udp = opened(io.openUdp(LOOPBACK, 0, 4, 0, false, 0, '', false))
    const joined = opened(io.openUdp(LOOPBACK, 0, 4, 0, false, 0, '', true))
    const frames = opened(io.openPacket('lo', true, true, true, false, EXPERIMENTAL, 0, 0, false))
    const netlink = opened(io.openNetlink(0, 0, 0))
    const closed = opened(io.openUdp(LOOPBACK, 0, 4, 0, false, 0, '', false))
    io.close(closed)
    const memory = new Fenced(new ArrayBuffer(GROUND_BYTES))
    const lasting = new Fenced(new SharedArrayBuffer(GROUND_BYTES))
    const called = (call: () => unknown): unknown => {
      try {
        const result = call()
        returned++
        return result
      } catch (error) {
        threw++
        assert.ok(error instanceof Error, 'threw something that is not an Error')
        return undefined
      }
    }
    const wrong: readonly unknown[] = [
      io.newKeys(1, 1),
      ...[
        udp,
        joined,
        frames,
        netlink,
        closed,
        {},
        null,
        undefined,
        true,
        '',
        'lo',
        'x'.repeat(300),
        'a\0b',
        1n,
        Symbol('s'),
        () => {},
      ],
      ...[0, 1, 4, 5, 63, 1024, 1025, 4096, 65536, 2 ** 32, 2 ** 53, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY],
      ...[
        new DataView(new ArrayBuffer(64)),
        new ArrayBuffer(64),
        detached(),
        shrunk(),
        growable(),
        new SharedArrayBuffer(64),
      ],
      ...[0, 1, 16, 63, 1024].map((n) => new Uint8Array(...memory.place(n))),
      ...[1, 3, 5, 64].map((n) => new Uint32Array(...memory.place(4 * n, 4)).fill(pick([0, 100, 0xffffffff]))),
      ...[1, 3, 20].map((n) => new Uint16Array(...memory.place(2 * n, 2))),
      ...[3, 5].map((n) => new Int32Array(...memory.place(4 * n, 4))),
      new Float64Array(...memory.place(8, 8)),
      ...[0, 16, 1024].map((n) => new Uint8Array(...lasting.place(n))),
      ...[new Uint32Array(...lasting.place(4, 4)), new Uint16Array(...lasting.place(2, 2))],
      ...[new Int32Array(...lasting.place(4, 4)), new Int8Array(...lasting.place(1, 1))],
    ]
    for (const [name, make] of Object.entries(valid(io, { udp, joined, frames, netlink }, memory, lasting))) {
      for (let i = 0; i < 12; i++) {
        sendToSelf(io, udp, udp.port)
        sendToSelf(io, udp, joined.port)
        sendFrames(io, frames)
        const args = make()
        for (let n = random() % 3; n > 0; n--) args[random() % args.length] = pick(wrong)
        if (random() % 16 === 0) args.pop()
        const result = called(() => (io[name as keyof PacketIo] as (...a: unknown[]) => unknown)(...args))
        if (name.startsWith('open') && typeof result === 'object' && result !== null) io.close(result as Port)
        if (typeof result === 'function') {
          const call = result as (...a: unknown[]) => unknown
          const numbers = name === 'bindSeal' || name === 'bindOpen' ? [0, 2] : name.startsWith('bindSend') ? [2] : []
          called(() => call(...numbers))
          called(() => call(...numbers.map((n) => (random() % 2 === 0 ? n : pick(wrong)))))
          called(() => call(...numbers, 0))
          bound.push(() => call(...numbers))
        }
        assert.ok(memory.intact() && lasting.intact(), `${name} wrote outside its arrays, seed ${seed}`)
      }
    }
    for (const port of [udp, joined, frames, netlink]) io.close(port)
    for (const call of bound.splice(0)) called(call)
    assert.ok(lasting.intact(), `a bound call wrote outside its arrays, seed ${seed}`)
  }
  return { threw, returned }
}

/** Right arguments for each function; `close` and `watch` act on ports of their own. */
function valid(io: PacketIo, ports: Ports, memory: Fenced, lasting: Fenced): Readonly<Record<string, () => unknown[]>> {
  const { udp, joined, frames, netlink } = ports
  const bytes = (n: number): Uint8Array => new Uint8Array(...memory.place(n))
  const arena = bytes(4096)
  const lens = new Uint32Array(...memory.place(16, 4))
  const addrs = bytes(64)
  const numbers = new Uint16Array(...memory.place(8, 2))
  const locals = bytes(64)
  const vias = bytes(80)
  // The second by loopback, the fourth by an interface that is not there.
  vias.fill(0).set(LOOPBACK, 20)
  vias[79] = 1
  const codes = new Int32Array(...memory.place(16, 4))
  const mtus = new Uint32Array(...memory.place(16, 4))
  const stats = new Float64Array(...memory.place(104, 8))
  const request = Uint8Array.of(20, 0, 0, 0, 18, 0, 1, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
  const keys = io.newKeys(2, 2)
  const out = bytes(2048)
  const headers = bytes(32)
  const runs = new Int32Array(...memory.place(32, 4))
  const done = new Int32Array(...memory.place(16, 4))
  const meta = new Int32Array(...memory.place(48, 4))
  const gso = new Uint16Array(...memory.place(8, 2))
  const status = new Int8Array(...memory.place(2, 1))
  const sealJobs = (): Int32Array => Int32Array.of(1, 0, 0, 600, 100, 0, 1400, 0, 1, 1, 1000, 50, 0, 16, 1400, 0)
  const openJobs = (): Int32Array => Int32Array.of(1, 0, 172, 0, 1, 172, 172, 0)
  const kept = {
    arena: new Uint8Array(...lasting.place(4096)),
    out: new Uint8Array(...lasting.place(2048)),
    addrs: new Uint8Array(...lasting.place(64)),
    locals: new Uint8Array(...lasting.place(64)),
    vias: new Uint8Array(...lasting.place(80)),
    headers: new Uint8Array(...lasting.place(32)),
    lens: new Uint32Array(...lasting.place(16, 4)),
    gso: new Uint16Array(...lasting.place(8, 2)),
    ports: new Uint16Array(...lasting.place(8, 2)),
    sends: new Int32Array(...lasting.place(24, 4)),
    runs: new Int32Array(...lasting.place(32, 4)),
    seals: new Int32Array(...lasting.place(64, 4)),
    opens: new Int32Array(...lasting.place(32, 4)),
    meta: new Int32Array(...lasting.place(48, 4)),
    done: new Int32Array(...lasting.place(16, 4)),
    status: new Int8Array(...lasting.place(2, 1)),
  }
  kept.vias.set(vias)
  kept.sends.set([0, 100, 0, 100, 200, 0xffff])
  kept.runs.set([0, 0, 1000, 100, 3, 500, 10, 3])
  const lengths = (): Uint32Array => Uint32Array.of(10, 20, 30, 1024)
  return {
    openTun: () => ['a/b', false, 0, false, 0, false],
    openPacket: () => ['nowhere', true, true, true, false, Uint32Array.of(6, 0, 0, 1), 0, 0, false],
    openUdp: () => [LOOPBACK, 0, 4, 0, false, 0, '', false],
    openNetlink: () => [0, 0, 0],
    recv: () => [udp, arena, 1024, 0, lens, null],
    send: () => [udp, arena, 1024, 0, lengths(), 4, null],
    recvUdp: () => [udp, arena, 1024, 0, lens, addrs, numbers],
    sendUdp: () => [udp, arena, 1024, 0, lengths(), addrs, numbers, vias, 4],
    udpErrors: () => [udp, addrs, numbers, codes, mtus],
    recvSuper: () => [frames, arena, 1024, 64, lens, gso],
    sendSuper: () => [frames, arena, Int32Array.of(0, 100, 0, 100, 200, 0xffff, 64, 900, 300), 3],
    recvRuns: () => [joined, arena, 1024, lens, gso, addrs, numbers, locals],
    sendRuns: () => [udp, arena, Int32Array.of(0, 0, 1000, 100, 3, 500, 10, 3), 2, addrs, numbers, vias],
    bindRecvSuper: () => [frames, kept.arena, 1024, 64, kept.lens, kept.gso],
    bindSendSuper: () => [frames, kept.arena, kept.sends],
    bindRecvRuns: () => [joined, kept.arena, 1024, kept.lens, kept.gso, kept.addrs, kept.ports, kept.locals],
    bindSendRuns: () => [udp, kept.arena, kept.runs, kept.addrs, kept.ports, kept.vias],
    bindSeal: () => {
      const { seals, headers, arena, out, runs, status, done } = kept
      seals.set(sealJobs())
      return [keys, seals, headers, arena, out, runs, status, done]
    },
    bindOpen: () => {
      const { opens, arena, out, lens, gso, meta, status, done } = kept
      opens.set(openJobs())
      return [keys, opens, out, arena, 1024, 64, lens, gso, meta, true, 9000, status, done]
    },
    steer: () => [joined, 2, 0x14],
    notify: () => ['@ntm-nobody-listens', 'READY=1'],
    talk: () => [netlink, request, arena, 1, 0],
    recvNetlink: () => [netlink, arena],
    newKeys: () => [4, 4],
    setSeal: () => [keys, 1, 1, new Uint8Array(16), new Uint8Array(12), 1e6, 1e9],
    setOpen: () => [keys, 1, 1, new Uint8Array(16), new Uint8Array(12), 8192],
    clearSeal: () => [keys, 2],
    clearOpen: () => [keys, 2],
    nextCounter: () => [keys, 1, 0],
    newestCounter: () => [keys, 1, 0],
    seal: () => [keys, sealJobs(), 0, 2, headers, arena, out, runs, status, done],
    open: () => [keys, openJobs(), 0, 2, out, arena, 1024, 64, lens, gso, meta, true, 9000, status, done],
    coalesce: () => [arena, Int32Array.of(0, 500, 0, 1000, 500, 0), 2, 900, 9000],
    segment: () => [arena, 0, 600, 100, 200, out, 256, 10, lens],
    setRef: () => [udp, true],
    stats: () => [udp, stats],
    unwatch: () => [udp],
  }
}

/** Four datagrams that wait on the socket at `port` and differ from the fence. */
function sendToSelf(io: PacketIo, udp: UdpPort, port: number): void {
  const arena = new Uint8Array(4096).fill(0xee)
  const addrs = new Uint8Array(64)
  for (let i = 0; i < 4; i++) addrs.set(LOOPBACK, 16 * i)
  const ports = new Uint16Array(4).fill(port)
  io.sendUdp(udp, arena, 1024, 0, new Uint32Array(4).fill(1000), addrs, ports, null, 4)
}

/** Four frames that come back from the loopback interface. */
function sendFrames(io: PacketIo, frames: Port): void {
  const arena = new Uint8Array(4096).fill(0xee)
  for (let i = 0; i < 4; i++) arena.set([0x88, 0xb5], i * 1024 + 12)
  io.send(frames, arena, 1024, 0, new Uint32Array(4).fill(900), 4, null)
}

/** One buffer that hands out pieces with untouchable ground between them. */
class Fenced<B extends ArrayBufferLike = ArrayBufferLike> {
  readonly #buffer: B
  readonly #ground: Uint8Array
  readonly #pieces: (readonly [from: number, to: number])[] = []
  #at = 8192

  constructor(buffer: B) {
    this.#buffer = buffer
    this.#ground = new Uint8Array(buffer).fill(GROUND)
  }

  /** Constructor arguments of a typed array over `bytes` bytes. */
  place(bytes: number, width = 1): [B, number, number] {
    const from = this.#at
    this.#at += Math.ceil(bytes / 8) * 8 + 8192
    assert.ok(this.#at <= this.#buffer.byteLength, 'the test needs a larger buffer')
    this.#pieces.push([from, from + bytes])
    return [this.#buffer, from, bytes / width]
  }

  intact(): boolean {
    let at = 0
    for (const [from, to] of [...this.#pieces, [this.#buffer.byteLength, 0] as const]) {
      if (Buffer.compare(this.#ground.subarray(at, from), UNTOUCHED.subarray(at, from)) !== 0) return false
      at = to
    }
    return true
  }
}

function opened<P>(port: P | number): P {
  assert.ok(typeof port === 'object')
  return port as P
}

function detached(): Uint8Array {
  const bytes = new Uint8Array(64)
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
  return bytes
}

/** Looks further than its memory goes by now. */
function shrunk(): Uint8Array {
  const buffer = new ArrayBuffer(64, { maxByteLength: 128 })
  const bytes = new Uint8Array(buffer, 0, 64)
  buffer.resize(8)
  return bytes
}

/** Of a length that follows its memory. */
function growable(): Uint8Array {
  const buffer = new SharedArrayBuffer(16, { maxByteLength: 64 })
  const bytes = new Uint8Array(buffer)
  buffer.grow(64)
  return bytes
}

/** xorshift32: a repeatable stream of unsigned numbers. */
function generator(seed: number): () => number {
  let x = seed >>> 0 || 1
  return () => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    x >>>= 0
    return x
  }
}

type Ports = { readonly udp: Port; readonly joined: Port; readonly frames: Port; readonly netlink: Port }

/** `ldh [12]; jeq 0x88b5; accept; drop`: the type for experiments, IEEE 802 §9.2.4. */
const EXPERIMENTAL = Uint32Array.of(0x28, 0, 0, 12, 0x15, 0, 1, 0x88b5, 6, 0, 0, 0xffff, 6, 0, 0, 0)
const LOOPBACK = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1)
const GROUND = 0x5a
const GROUND_BYTES = 1 << 19
const UNTOUCHED = new Uint8Array(GROUND_BYTES).fill(GROUND)
