import assert from 'node:assert/strict'
import { type Batch, batch, HEADROOM, type PacketPort, slotAt } from '#ntm-lib/ports/packet-port.ts'

/** A port with the counts the contract speaks of. */
export type CountedPort = PacketPort & {
  readonly counters: { readonly refusedOut: number; readonly oversizedIn: number }
}

/** Two ports joined so that what `a` sends `b` receives. */
export type Rig = {
  readonly a: CountedPort
  readonly b: CountedPort
  /** The `n`-th frame that travels from `a` to `b`, `bytes` long (100–1500). */
  frame(n: number, bytes: number): Uint8Array
  /** Whether `got` is `sent` after the way between the ports (a router spends a hop). */
  same(sent: Uint8Array, got: Uint8Array): boolean
  /** A frame the port can never send. */
  readonly refused: Uint8Array
}

export type Case = { readonly name: string; run(rig: Rig): Promise<void> }

/** What every PacketPort promises. Run by the in-memory port and by each port on the real kernel. */
export const packetPortContract: readonly Case[] = [
  {
    name: 'frames arrive in order, whole and unchanged, 64 in one batch',
    run: async (rig) => {
      const sent = Array.from({ length: 64 }, (_, n) => rig.frame(n, 100 + n * 21))
      assert.equal(rig.a.send(filled(sent)), 64)
      expectFrames(rig, await receive(rig.b, 64), sent)
    },
  },
  {
    name: 'recv gives 0 and an empty batch when nothing waits',
    run: async (rig) => {
      const into = batch(4, SLOT)
      into.count = 3
      assert.equal(rig.b.recv(into), 0)
      assert.equal(into.count, 0)
    },
  },
  {
    name: 'a small batch is filled again and again, in order',
    run: async (rig) => {
      const sent = Array.from({ length: 20 }, (_, n) => rig.frame(n, 200))
      rig.a.send(filled(sent))
      const got: Uint8Array[] = []
      const sizes: number[] = []
      await drain(rig.b, batch(8, SLOT), (b) => {
        sizes.push(b.count)
        got.push(...frames(b))
        return got.length >= 20
      })
      assert.ok(Math.max(...sizes) <= 8)
      expectFrames(rig, got, sent)
    },
  },
  {
    name: 'headroom and the space after a frame are never written',
    run: async (rig) => {
      const into = batch(64, SLOT)
      into.arena.fill(0xa5)
      const sent = Array.from({ length: 16 }, (_, n) => rig.frame(n, 100 + n))
      rig.a.send(filled(sent))
      let seen = 0
      await drain(rig.b, into, (b) => {
        for (let i = 0; i < b.count; i++) {
          const end = slotAt(b, i) + (b.lens[i] ?? 0)
          const before = b.arena.subarray(i * SLOT, slotAt(b, i))
          const after = b.arena.subarray(end, (i + 1) * SLOT)
          assert.ok(before.length === HEADROOM && before.every((v) => v === 0xa5), 'headroom was written')
          assert.ok(
            after.every((v) => v === 0xa5),
            'space after the frame was written',
          )
        }
        seen += b.count
        b.arena.fill(0xa5)
        return seen >= 16
      })
    },
  },
  {
    name: 'the sender may reuse its memory as soon as send returns',
    run: async (rig) => {
      const sent = [rig.frame(1, 300), rig.frame(2, 300)]
      const from = filled(sent)
      rig.a.send(from)
      from.arena.fill(0)
      expectFrames(rig, await receive(rig.b, 2), sent)
    },
  },
  {
    name: 'one wake-up per readiness, not per packet, and none while idle',
    run: async (rig) => {
      let wakes = 0
      let got = 0
      const into = batch(64, SLOT)
      rig.b.onReadable(() => {
        wakes++
        while (rig.b.recv(into) > 0) got += into.count
      })
      rig.a.send(filled(Array.from({ length: 48 }, (_, n) => rig.frame(n, 150))))
      await until(() => got >= 48)
      assert.ok(wakes < 24, `${wakes} wake-ups for 48 packets`)
      const settled = wakes
      await pause(100)
      assert.equal(wakes, settled, 'woken without a packet')
      rig.a.send(filled([rig.frame(99, 150)]))
      await until(() => got >= 49)
      assert.ok(wakes > settled)
    },
  },
  {
    name: 'a reader that takes little is woken again',
    run: async (rig) => {
      let got = 0
      const into = batch(4, SLOT)
      rig.b.onReadable(() => {
        got += rig.b.recv(into)
      })
      rig.a.send(filled(Array.from({ length: 18 }, (_, n) => rig.frame(n, 150))))
      await until(() => got >= 18)
      assert.equal(got, 18)
    },
  },
  {
    name: 'a frame that can never be sent is skipped and counted, its neighbours go',
    run: async (rig) => {
      const before = rig.a.counters.refusedOut
      const [one, two, three] = [rig.frame(1, 200), rig.frame(2, 201), rig.frame(3, 202)]
      assert.equal(rig.a.send(filled([one, rig.refused, two, rig.refused, three])), 5)
      assert.equal(rig.a.counters.refusedOut - before, 2)
      expectFrames(rig, await receive(rig.b, 3), [one, two, three])
    },
  },
  {
    name: 'a frame longer than the slot is dropped and counted, its neighbours arrive',
    run: async (rig) => {
      const before = rig.b.counters.oversizedIn
      rig.a.send(filled([rig.frame(1, 120), rig.frame(2, 700), rig.frame(3, 121), rig.frame(4, 122)]))
      const got: Uint8Array[] = []
      await drain(rig.b, batch(8, HEADROOM + 400), (b) => {
        got.push(...frames(b))
        return got.length >= 3
      })
      expectFrames(rig, got, [rig.frame(1, 120), rig.frame(3, 121), rig.frame(4, 122)])
      assert.equal(rig.b.counters.oversizedIn - before, 1)
    },
  },
  {
    name: 'close can be called twice; a closed port gives and takes nothing',
    run: async (rig) => {
      rig.a.send(filled([rig.frame(1, 200)]))
      for (const port of [rig.a, rig.b]) {
        port.close()
        port.close()
      }
      const into = batch(4, SLOT)
      assert.equal(rig.b.recv(into), 0)
      assert.equal(into.count, 0)
      assert.equal(rig.a.send(filled([rig.frame(2, 200)])), 0)
      assert.equal(typeof rig.a.counters.refusedOut, 'number')
    },
  },
]

/** A batch that holds these frames. */
export function filled(sent: readonly Uint8Array[]): Batch {
  const b = batch(Math.max(1, sent.length), SLOT)
  for (const frame of sent) {
    b.arena.set(frame, slotAt(b, b.count))
    b.lens[b.count++] = frame.length
  }
  return b
}

/** Copies of the frames in a batch. */
export const frames = (b: Batch): Uint8Array[] =>
  Array.from({ length: b.count }, (_, i) => b.arena.slice(slotAt(b, i), slotAt(b, i) + (b.lens[i] ?? 0)))

/** Everything that arrives until there are `count` frames, and shortly after. */
export async function receive(port: PacketPort, count: number): Promise<Uint8Array[]> {
  const got: Uint8Array[] = []
  await drain(port, batch(64, SLOT), (b) => {
    got.push(...frames(b))
    return got.length >= count
  })
  return got
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Waits for a condition; the bound is for broken code, no promise of speed. */
export async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !holds(); i++) await pause(10)
  assert.ok(holds(), 'did not happen within 5 s')
}

async function drain(port: PacketPort, into: Batch, take: (b: Batch) => boolean): Promise<void> {
  let done = false
  port.onReadable(() => {
    while (port.recv(into) > 0) done = take(into) || done
  })
  await until(() => done)
  // A frame too many must be seen too.
  await pause(30)
}

function expectFrames(rig: Rig, got: readonly Uint8Array[], sent: readonly Uint8Array[]): void {
  assert.deepEqual(
    got.map((f) => f.length),
    sent.map((f) => f.length),
  )
  for (const [i, frame] of sent.entries()) assert.ok(rig.same(frame, got[i] ?? EMPTY), `frame ${i} changed on its way`)
}

const SLOT = 2048
const EMPTY = new Uint8Array(0)
