import assert from 'node:assert/strict'
import type { PacketIo, Port } from '#native/packet-io/index.d.ts'

/**
 * Calls every function of the addon with `rounds` combinations of values it never expects. Each call must return or
 * throw; the memory around what was passed must stay as it was. Repeatable by its seed.
 */
export function misuse(io: PacketIo, seed: number, rounds: number): { threw: number; returned: number } {
  const random = generator(seed)
  const pick = <T>(from: readonly T[]): T => from[random() % from.length] as T
  const loopback = new Uint8Array(16)
  loopback.set([0xff, 0xff, 127, 0, 0, 1], 10)
  let [threw, returned] = [0, 0]

  for (let round = 0; round < rounds; round++) {
    const udp = io.openUdp(loopback, 0, 4, 0, false, 0, '')
    const netlink = io.openNetlink(0, 0, 0)
    assert.ok(typeof udp === 'object' && typeof netlink === 'object')
    const closed = io.openUdp(loopback, 0, 4, 0, false, 0, '') as Port
    io.close(closed)
    // A guarded piece in the middle of one buffer: writes outside it show.
    const guarded = new ArrayBuffer(3 * GUARD)
    new Uint8Array(guarded).fill(GUARD_BYTE)
    const inside = new Uint8Array(guarded, GUARD, GUARD)
    const values: readonly unknown[] = [
      udp,
      netlink,
      closed,
      {},
      null,
      undefined,
      true,
      false,
      '',
      'lo',
      'x'.repeat(300),
      'a\0b',
      0,
      1,
      16,
      64,
      2048,
      65536,
      2 ** 32,
      2 ** 53,
      -1,
      0.5,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      1n,
      Symbol('s'),
      () => {},
      inside,
      new Uint8Array(0),
      new Uint8Array(2048),
      new Uint32Array(4).fill(0xffffffff),
      new Uint32Array(4).fill(100),
      new Uint16Array(8),
      new Uint16Array(20),
      new Int32Array(4),
      new Float64Array(8),
      new Float64Array(1),
      new DataView(new ArrayBuffer(64)),
      new ArrayBuffer(64),
      detached(),
      loopback,
    ]
    for (const [name, call] of Object.entries(io)) {
      if (typeof call !== 'function') continue
      for (let i = 0; i < 8; i++) {
        const args = Array.from({ length: random() % 10 }, () => pick(values))
        // Half of the calls start right, so that more than the first check is reached.
        if (random() % 2 === 0) args[0] = pick([udp, netlink])
        try {
          const result: unknown = (call as (...a: unknown[]) => unknown)(...args)
          returned++
          if (name.startsWith('open') && typeof result === 'object' && result !== null) io.close(result as Port)
        } catch (error) {
          threw++
          assert.ok(error instanceof Error, `${name} threw something that is not an Error`)
        }
      }
    }
    for (const port of [udp, netlink]) {
      try {
        io.close(port)
      } catch {
        // Expected: a random call closed it already.
      }
    }
    const outside = [new Uint8Array(guarded, 0, GUARD), new Uint8Array(guarded, 2 * GUARD)]
    assert.ok(
      outside.every((part) => part.every((v) => v === GUARD_BYTE)),
      `written outside the array, seed ${seed}`,
    )
  }
  return { threw, returned }
}

function detached(): Uint8Array {
  const bytes = new Uint8Array(64)
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
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

const GUARD = 4096
const GUARD_BYTE = 0x5a
