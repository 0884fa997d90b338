import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { expect, onTestFinished, test } from 'vitest'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { linkPair, ThreadLink } from './thread-link.ts'

const PROGRAM = new URL('../../test/support/link-program.ts', import.meta.url)

test('packets and words arrive whole and in their order; what was said of them is there when settling ends', async () => {
  const { link, words } = await joined()
  const sizes = Array.from({ length: 100 }, (_, i) => (i % 3 === 0 ? 60_000 : 40 + i))
  link.tell('first')
  for (const [i, size] of sizes.entries()) {
    link.hand(i % 2, -i, bytes(size + 20, i), 10, size, i)
    if (i === 49) link.tell('half')
  }
  expect(link.isSettled).toBe(false)
  await settled(link)
  expect(link.isSettled).toBe(true)
  const told = sizes.map((size, i) => [i % 2, -i | 0, size, i, i, i])
  expect(words).toEqual(['first', ...told.slice(0, 50), 'half', ...told.slice(50)])
})

test('no more waits than there is room for; what was taken makes room', async () => {
  const { link, counters, words } = await joined()
  const packet = bytes(64_000, 1)
  const handed = Array.from({ length: 200 }, () => link.hand(0, 0, packet, 0, packet.length, 0))
  expect(handed.indexOf(false)).toBe(Math.floor(8192 / 63))
  expect(counters.get('link.drop.full')).toBe(200 - handed.indexOf(false))
  expect(link.hand(0, 0, bytes(100_000, 1), 0, 100_000, 0), 'longer than any packet').toBe(false)
  await settled(link)
  expect(words).toHaveLength(handed.indexOf(false))
  expect(link.hand(0, 0, packet, 0, packet.length, 0)).toBe(true)
})

test('small packets have their limit, too', async () => {
  const { link } = await joined()
  let count = 0
  while (link.hand(0, 0, bytes(1, 1), 0, 1, 0)) count++
  expect(count).toBe(8192)
})

test('a slow other side is waited for briefly, and then not again for a while', async () => {
  const { link, counters, words } = await joined()
  link.tell(100)
  const began = performance.now()
  link.hand(0, 0, bytes(9, 1), 0, 9, 0)
  expect(link.settle()).toBe(false)
  const gaveUp = performance.now()
  for (let i = 0; i < 20; i++) {
    link.hand(0, 0, bytes(9, 1), 0, 9, 0)
    expect(link.settle()).toBe(false)
  }
  // Twenty waits would have been 200 ms.
  expect(performance.now() - gaveUp).toBeLessThan(100)
  expect(gaveUp - began).toBeGreaterThan(8)
  expect(counters.get('link.slow')).toBeLessThanOrEqual(2)
  link.tell(0)
  await settled(link)
  link.hand(0, 0, bytes(9, 1), 0, 9, 0)
  await settled(link)
  expect(words).toHaveLength(22)
}, 20_000)

/** The other side may be new to its code, or the machine busy. */
async function settled(link: ThreadLink): Promise<void> {
  for (let i = 0; i < 1000 && !link.settle(); i++) await pause(10)
  expect(link.isSettled).toBe(true)
}

async function joined(): Promise<{ link: ThreadLink; words: unknown[]; counters: CounterMap }> {
  const [mine, theirs] = linkPair()
  const worker = new Worker(PROGRAM, { workerData: theirs, transferList: [theirs.port] })
  await once(worker, 'message')
  const counters = new CounterMap()
  const link = new ThreadLink(mine, counters)
  const words: unknown[] = []
  link.serve({ packets: () => {}, word: (word) => words.push(word) })
  onTestFinished(async () => {
    link.close()
    await worker.terminate()
  })
  return { link, words, counters }
}

const bytes = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value)
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
