import { Worker } from 'node:worker_threads'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { type Ip, ip16, ipText, parseIp } from '#ntm-lib/addr/ip.ts'
import type { Runs } from '#ntm-lib/plane/engine.ts'
import { CAPSULATED_FIRST_BYTE } from '#ntm-lib/wire/capsulated.ts'
import type { UdpError, UdpOptions } from './datagrams.ts'
import { datagramRuns, openUdpRuns, type UdpRuns } from './udp-runs.ts'

const V4 = addr('127.0.0.1')
const V6 = addr('::1')

describe.each([
  ['IPv4', V4],
  ['IPv6', V6],
])('%s', (_, ip) => {
  test.each([
    [1, 1],
    [7, 300],
    [64, 128],
    [160, 1000],
    [1400, 46],
    [1448, 47],
    [9000, 7],
    [40_000, 2],
    [65_000, 1],
  ])('runs of %i-byte datagrams, %i of them and a shorter last one, come out as they went in', async (each, full) => {
    const [a, b] = [open({ port: 0, address: ip }), open({ port: 0, address: ip })]
    const bytes = pattern(each * full + Math.floor(each / 2))
    a.send(runs(bytes, [0, 0, bytes.length, each]), ip16(ip), Uint16Array.of(b.port))
    const got = await receive(b, Math.ceil(bytes.length / each))
    expect(got.map((d) => d.bytes.length)).toEqual([
      ...Array<number>(full).fill(each),
      ...(each > 1 ? [Math.floor(each / 2)] : []),
    ])
    expect(Buffer.compare(Buffer.concat(got.map((d) => d.bytes)), bytes)).toBe(0)
    expect(got.every((d) => d.from === a.port && d.local === ipText(ip))).toBe(true)
    const datagrams = got.length
    expect(a.counters).toMatchObject({ out: datagrams, refusedOut: 0, fullOut: 0, gsoRefused: 0 })
    expect(b.counters).toMatchObject({ in: datagrams, badIn: 0, oversizedIn: 0, lostIn: 0 })
    if (each <= 9000 && datagrams > 1) {
      const perSend = Math.min(128, Math.floor(65_000 / each))
      expect(a.counters.superOut).toBe(Math.floor(datagrams / perSend) + (datagrams % perSend > 1 ? 1 : 0))
      expect(b.counters.superIn).toBeGreaterThan(0)
    }
  })

  test('many runs to several peers leave in one call, each in order', async () => {
    const a = open({ port: 0, address: ip })
    const peers = [open({ port: 0, address: ip }), open({ port: 0, address: ip }), open({ port: 0, address: ip })]
    const words: number[] = []
    const bytes = pattern(200_000)
    // 150 runs, more than one sendmmsg takes, of changing sizes.
    for (let n = 0, at = 0; n < 150; n++) {
      const [each, len] = [50 + n, 3 * (50 + n) + 11]
      words.push(n % 3, at, len, each)
      at += len
    }
    const addrs = Buffer.concat(peers.map(() => ip16(ip)))
    a.send(
      runs(bytes, words),
      addrs,
      Uint16Array.from(peers, (p) => p.port),
    )
    for (const [row, peer] of peers.entries()) {
      const got = await receive(peer, 200)
      const want = Array.from({ length: 150 }, (_, n) => words.slice(4 * n, 4 * n + 4)).filter((w) => w[0] === row)
      expect(Buffer.concat(got.map((d) => d.bytes))).toEqual(
        Buffer.concat(want.map(([, at = 0, len = 0]) => bytes.subarray(at, at + len))),
      )
    }
    expect(a.counters).toMatchObject({ out: 600, superOut: 150 })
  })

  test('a run for a port where nobody listens costs no other run anything and is told', async () => {
    const [a, b, closed] = [
      open({ port: 0, address: ip }),
      open({ port: 0, address: ip }),
      openUdpRuns({ port: 0, address: ip }),
    ]
    const nobody: Endpoint = { ip, port: closed.port }
    closed.close()
    const told: UdpError[] = []
    a.onError((error) => told.push(error))
    a.onReadable(() => a.recv(datagramRuns(4)))
    const bytes = pattern(3000)
    const addrs = Buffer.concat([ip16(ip), ip16(ip)])
    // The peer that listens comes first in each call, so that it meets what the other left behind.
    for (let n = 0; n < 20; n++)
      a.send(runs(bytes, [1, 0, 3000, 1000, 0, 0, 3000, 1000]), addrs, Uint16Array.of(nobody.port, b.port))
    expect((await receive(b, 60)).length).toBe(60)
    await until(() => told.length > 0)
    expect(told[0]).toEqual({ to: nobody, code: 'ECONNREFUSED', pathMtuBytes: null })
    expect(a.counters).toMatchObject({ refusedOut: 0, fullOut: 0, out: 120, gsoRefused: 0 })
  })

  test('datagrams that are too long alone are refused, whole or in a run, and do not switch runs off', async () => {
    const [a, b] = [open({ port: 0, address: ip }), open({ port: 0, address: ip })]
    const bytes = pattern(140_000)
    const words = [0, 0, 70_000, 70_000, 0, 0, 3000, 1000]
    a.send(runs(bytes, words), ip16(ip), Uint16Array.of(b.port))
    expect((await receive(b, 3)).length).toBe(3)
    expect(a.counters).toMatchObject({ refusedOut: 1, out: 3, superOut: 1, gsoRefused: 0 })
  })
})

test('one socket serves both families, and knows by which address each run came', async () => {
  const server = open({ port: 0 })
  for (const ip of [V4, addr('127.0.0.2'), V6]) {
    const client = open({ port: 0, address: ip })
    client.send(runs(pattern(2500), [0, 0, 2500, 1000]), ip16(ip), Uint16Array.of(server.port))
    const got = await receive(server, 3)
    expect(got.map((d) => [d.local, d.bytes.length])).toEqual([
      [ipText(ip), 1000],
      [ipText(ip), 1000],
      [ipText(ip), 500],
    ])
    server.sendOne({ ip, port: client.port }, pattern(5))
    expect((await receive(client, 1))[0]?.bytes).toEqual(pattern(5))
  }
})

test('an empty datagram takes no slot and is counted', async () => {
  const [a, b] = [open({ port: 0, address: V4 }), open({ port: 0, address: V4 })]
  a.sendOne({ ip: V4, port: b.port }, new Uint8Array(0))
  a.sendOne({ ip: V4, port: b.port }, pattern(3))
  expect((await receive(b, 1)).map((d) => d.bytes.length)).toEqual([3])
  expect(b.counters.badIn).toBe(1)
})

test('a peer that reads nothing: sending never waits, memory does not grow, what is lost is counted by the reader', () => {
  const [a, b] = [open({ port: 0, address: V4 }), open({ port: 0, address: V4, bufferBytes: 1 << 18 })]
  const bytes = pattern(60_000)
  const out = runs(bytes, Array.from({ length: 64 }, () => [0, 0, 60_000, 1000]).flat())
  const before = process.memoryUsage()
  for (let n = 0; n < 50; n++) a.send(out, ip16(V4), Uint16Array.of(b.port))
  const after = process.memoryUsage()
  expect(after.external - before.external).toBeLessThan(1 << 20)
  expect(a.counters.out).toBe(50 * 64 * 60)
  // The kernel counts what it dropped by the run, so this is a floor.
  expect(b.counters.lostIn).toBeGreaterThan(1000)
  const into = datagramRuns(64)
  let got = 0
  while (b.recv(into) > 0) for (let i = 0; i < into.count; i++) got += (into.lens[i] ?? 0) / 1000
  expect(got).toBeGreaterThan(0)
  expect(got).toBeLessThan(2000)
})

test('a slot too small for a run loses that run and says so', async () => {
  const [a, b] = [open({ port: 0, address: V4 }), open({ port: 0, address: V4 })]
  a.send(runs(pattern(5000), [0, 0, 5000, 1000, 0, 0, 1500, 500]), ip16(V4), Uint16Array.of(b.port))
  const got = await receive(b, 3, datagramRuns(8, 2000))
  expect(got.map((d) => d.bytes.length)).toEqual([500, 500, 500])
  expect(b.counters.oversizedIn).toBe(1)
})

test('capsulated packets find their socket by path, whatever their lane, everything else the first', async () => {
  for (const ip of [V4, V6]) {
    const group = [open({ port: 0, address: ip, reusePort: true })]
    const port = group[0]?.port ?? 0
    for (let i = 1; i < 4; i++) group.push(open({ port, address: ip, reusePort: true }))
    group[2]?.steer(4)
    // Several senders: without steering the kernel would spread them by their ports.
    const senders = Array.from({ length: 8 }, () => open({ port: 0, address: ip }))
    const want: string[][] = [[], [], [], []]
    for (const [s, sender] of senders.entries())
      for (let path = 0; path < 16; path++) {
        const [lane, bytes] = [(path + s) & 3, new Uint8Array(20)]
        bytes.set([CAPSULATED_FIRST_BYTE, 0x80 | (lane << 4) | 0x04])
        bytes[9] = path
        bytes.set([s, path, lane], 16)
        want[path % 4]?.push(bytes.subarray(16).join())
        sender.sendOne({ ip, port }, bytes)
        const other = Uint8Array.from(bytes)
        other[0] = 0x11
        want[0]?.push(other.subarray(16).join())
        sender.sendOne({ ip, port }, other)
      }
    senders[0]?.sendOne({ ip, port }, Uint8Array.of(CAPSULATED_FIRST_BYTE, 0x10))
    want[0]?.push('')
    for (const [i, socket] of group.entries()) {
      const got = await receive(socket, want[i]?.length ?? 0)
      expect(got.map((d) => d.bytes.subarray(16).join()).sort()).toEqual(want[i]?.sort())
    }
  }
})

test('a port is open once, whatever asks for it again', () => {
  for (const address of [undefined, V4, V6]) {
    const at = address === undefined ? {} : { address }
    const { port } = open({ port: 0, ...at })
    for (const reusePort of [false, true])
      expect(() => openUdpRuns({ port, reusePort, ...at })).toThrow(expect.objectContaining({ code: 'EADDRINUSE' }))
  }
})

test('steering a socket alone is refused by the kernel and said', () => {
  expect(() => open({ port: 0, address: V4 }).steer(2)).toThrow(expect.objectContaining({ name: 'IoFault' }))
})

test('works in a worker thread, and ends with it', async () => {
  const code = `
    import { parentPort } from 'node:worker_threads'
    const { datagramRuns, openUdpRuns } = await import(${JSON.stringify(new URL('./udp-runs.ts', import.meta.url).href)})
    const udp = openUdpRuns({ port: 0 })
    const into = datagramRuns(4)
    udp.onReadable(() => {
      while (udp.recv(into) > 0) for (let i = 0; i < into.count; i++) parentPort.postMessage([into.lens[i], into.segs[i]])
    })
    parentPort.postMessage(udp.port)`
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`))
  const said: unknown[] = []
  worker.on('message', (m) => said.push(m))
  await until(() => said.length === 1)
  const a = open({ port: 0, address: V4 })
  a.send(runs(pattern(2500), [0, 0, 2500, 1000]), ip16(V4), Uint16Array.of(said[0] as number))
  await until(() => said.length > 1)
  expect(said[1]).toEqual([2500, 1000])
  expect(await worker.terminate()).toBe(1)
})

test('a closed socket is calm; wrong runs are refused before anything is sent', () => {
  const [a, b] = [open({ port: 0, address: V4 }), open({ port: 0, address: V4 })]
  const bytes = pattern(100)
  const wrong = [
    [1, 0, 100, 50],
    [-1, 0, 100, 50],
    [0, -1, 100, 50],
    [0, 1, 100, 50],
    [0, 0, 0, 50],
    [0, 0, 100, 0],
    [0, 0, 100, -1],
  ]
  for (const words of wrong)
    expect(
      () => a.send(runs(bytes, [0, 0, 100, 50, ...words]), ip16(V4), Uint16Array.of(b.port)),
      words.join(),
    ).toThrow(RangeError)
  expect(a.counters.out).toBe(0)
  a.close()
  a.close()
  a.send(runs(bytes, [0, 0, 100, 50]), ip16(V4), Uint16Array.of(b.port))
  a.sendOne({ ip: V4, port: b.port }, bytes)
  expect(a.recv(datagramRuns(1))).toBe(0)
  expect(a.counters.out).toBe(0)
})

type Datagram = { readonly bytes: Uint8Array; readonly from: number; readonly local: string }

/** Every datagram that arrives until there are `count`, and shortly after. */
async function receive(port: UdpRuns, count: number, into = datagramRuns(16)): Promise<Datagram[]> {
  const got: Datagram[] = []
  const drain = (): void => {
    while (port.recv(into) > 0) {
      for (let i = 0; i < into.count; i++) {
        const [start, len = 0, each = 0] = [i * into.slotBytes, into.lens[i], into.segs[i]]
        expect(each).toBeGreaterThan(0)
        const local = ipText(ipFrom16(into.locals.subarray(16 * i, 16 * i + 16)))
        for (let at = 0; at < len; at += each)
          got.push({
            bytes: into.arena.slice(start + at, start + Math.min(len, at + each)),
            from: into.ports[i] ?? 0,
            local,
          })
      }
    }
  }
  port.onReadable(drain)
  await until(() => got.length >= count)
  await pause(20)
  return got
}

const ipFrom16 = (b: Uint8Array): Ip =>
  b.subarray(0, 12).join() === '0,0,0,0,0,0,0,0,0,0,255,255'
    ? addr(b.subarray(12).join('.'))
    : (b.slice() as unknown as Ip)

const runs = (arena: Uint8Array, words: readonly number[]): Runs => ({
  arena,
  runs: Int32Array.from(words),
  count: words.length / 4,
  datagrams: 0,
})

const pattern = (bytes: number): Uint8Array =>
  Uint8Array.from({ length: bytes }, (_, i) => (i * 13 + (i >> 8) * 7) & 255)

function open(options: UdpOptions): UdpRuns {
  const port = openUdpRuns(options)
  onTestFinished(() => port.close())
  return port
}

function addr(text: string): Ip {
  const ip = parseIp(text)
  if (ip === null) throw new Error(text)
  return ip
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !holds(); i++) await pause(10)
  expect(holds()).toBe(true)
}
