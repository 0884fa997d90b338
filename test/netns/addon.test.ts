import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { beforeAll, describe, expect, test } from 'vitest'
import { packetIo } from '#io/native.ts'
import type { UdpPort } from '#native/packet-io/index.d.ts'
import { misuse } from './addon-misuse.ts'
import { buildSanitized, libasan, sanitized } from './sanitized.ts'

const NATIVE = join(import.meta.dirname, '../../native/packet-io')
const CHILD = join(import.meta.dirname, 'addon-child.ts')
const LOOPBACK = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1)

describe('a wrong call is an exception', () => {
  const io = packetIo()
  const open = (): UdpPort => {
    const port = io.openUdp(LOOPBACK, 0, 4, 0, false, 0, '', false)
    if (typeof port === 'number') throw new Error(`openUdp: ${port}`)
    return port
  }
  const arena = new Uint8Array(4 * 256)
  const lens = new Uint32Array(4)
  const addrs = new Uint8Array(64)
  const ports = new Uint16Array(4)

  test('a closed port', () => {
    const port = open()
    io.close(port)
    expect(() => io.close(port)).toThrow(/closed/)
    expect(() => io.recvUdp(port, arena, 256, 0, lens, addrs, ports)).toThrow(/closed/)
    expect(() => io.watch(port, () => {})).toThrow(/closed/)
  })

  test('something that is no port, or one of another kind', () => {
    const port = open()
    expect(() => io.close({} as UdpPort)).toThrow(TypeError)
    expect(() => io.recv(port, arena, 256, 0, lens, null)).toThrow(/another kind/)
    io.close(port)
  })

  test('more slots than the arena holds', () => {
    const port = open()
    expect(() => io.recvUdp(port, arena, 257, 0, lens, addrs, ports)).toThrow(RangeError)
    io.close(port)
  })

  test('headroom that leaves no room', () => {
    const port = open()
    expect(() => io.recvUdp(port, arena, 256, 256, lens, addrs, ports)).toThrow(RangeError)
    io.close(port)
  })

  test('too few addresses or ports', () => {
    const port = open()
    expect(() => io.recvUdp(port, arena, 256, 0, lens, addrs.subarray(1), ports)).toThrow(RangeError)
    expect(() => io.recvUdp(port, arena, 256, 0, lens, addrs, ports.subarray(1))).toThrow(RangeError)
    expect(() => io.stats(port, new Float64Array(11))).toThrow(RangeError)
    expect(() => io.udpErrors(port, addrs, ports, new Int32Array(5), new Uint32Array(5))).toThrow(RangeError)
    io.close(port)
  })

  test('a packet longer than its slot is refused before anything is sent', () => {
    const port = open()
    const long = Uint32Array.of(10, 257, 0, 0)
    expect(() => io.sendUdp(port, arena, 256, 0, long, addrs, ports, null, 2)).toThrow(/longer than its slot/)
    expect(() => io.sendUdp(port, arena, 256, 0, lens, addrs, ports, null, 5)).toThrow(RangeError)
    const stats = new Float64Array(13)
    io.stats(port, stats)
    expect(stats[1]).toBe(0)
    io.close(port)
  })

  test('numbers that are no whole numbers in range, arrays of another type', () => {
    for (const wrong of [-1, 0.5, Number.NaN, 2 ** 32, 65536])
      expect(() => io.openUdp(LOOPBACK, wrong, 4, 0, false, 0, '', false)).toThrow(RangeError)
    expect(() => io.openUdp(new Uint8Array(15), 0, 4, 0, false, 0, '', false)).toThrow(RangeError)
    expect(() => io.openUdp(new Uint16Array(16) as unknown as Uint8Array, 0, 4, 0, false, 0, '', false)).toThrow(
      TypeError,
    )
    expect(() => io.openTun('a-name-that-is-too-long', false, 0, false, 0, false)).toThrow(RangeError)
  })

  test('random values never crash, write astray or leak a port', () => {
    const before = io.openPorts()
    const seed = 1 + Math.floor(Math.random() * 2 ** 31)
    const outcome = misuse(io, seed, 30)
    expect(outcome.threw, `seed ${seed}`).toBeGreaterThan(1000)
    expect(outcome.returned, `seed ${seed}`).toBeGreaterThan(1000)
    expect(io.openPorts(), `seed ${seed}`).toBe(before)
  })
})

describe('threads', () => {
  test('a worker uses the addon, ends with ports open, and another starts', async () => {
    const code = `
      const { createRequire } = require('node:module')
      const io = createRequire(${JSON.stringify(import.meta.filename)})(${JSON.stringify(join(NATIVE, 'build/packet-io.node'))})
      const { parentPort } = require('node:worker_threads')
      const any = new Uint8Array(16); any.set([255, 255, 127, 0, 0, 1], 10)
      const port = io.openUdp(any, 0, 4, 0, false, 0, '', false)
      io.watch(port, () => {})
      io.openUdp(any, 0, 4, 0, false, 0, '', false)
      parentPort.postMessage(io.openPorts())
      setTimeout(() => process.exit(0), 20)`
    for (let i = 0; i < 3; i++) {
      const worker = new Worker(code, { eval: true })
      const told = await new Promise((resolve, reject) => {
        worker.once('message', resolve)
        worker.once('error', reject)
      })
      expect(told).toBe(2)
      expect(await new Promise((resolve) => worker.once('exit', resolve))).toBe(0)
    }
  })
})

describe.skipIf(libasan === null)('built with address and undefined-behaviour sanitizers', () => {
  beforeAll(buildSanitized)

  test('misuse and ordinary use are clean', async () => {
    const { stdout } = await sanitized([CHILD, '7', '20'])
    expect(JSON.parse(stdout)).toMatchObject({ got: 5000 })
  })

  for (const kind of ['tun', 'packet'])
    test(`the ${kind} port keeps its contract`, async () => {
      const namespace = `ntm-as-${kind}-${process.pid}`
      execFileSync('ip', ['netns', 'add', namespace])
      try {
        const child = join(import.meta.dirname, 'packet-port-child.ts')
        const { stdout } = await sanitized([child, kind], ['ip', 'netns', 'exec', namespace])
        const lines = stdout.trim().split('\n')
        expect(lines.length).toBeGreaterThan(10)
        expect(lines.filter((line) => JSON.parse(line).fault !== '')).toEqual([])
      } finally {
        execFileSync('ip', ['netns', 'del', namespace])
      }
    })
})
