import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type WeatherLink, weatherLink } from '#lab/links.ts'
import { Lab, ROOT } from '#lab/netns.ts'
import type { Program } from '#lab/process.ts'
import type { Weather } from '#lab/weather.ts'
import { describeLab } from '#test/support/lab.ts'

// a 10.2.0.1 eth0 ══ link process: weather ══ eth0 10.2.0.2 b

describeLab('a link with weather', () => {
  test('fair weather: every datagram arrives, once and in order', async () => {
    const { lab, link } = await linked({})
    const got = await oneWay(lab, 1000, 0.5)
    expect(got.map(([n]) => n)).toEqual(Array.from({ length: 1000 }, (_, n) => n))
    expect((await link.change()).there).toMatchObject({ lost: 0, full: 0, waiting: 0 })
  })

  test.each([2, 20, 143.16])('delay: %d ms one way, and nothing of it the other way', async (delayMs) => {
    const { lab } = await linked({ delayMs }, {})
    const there = quickest(await oneWay(lab, 500, 2))
    const back = quickest(await oneWay(lab, 200, 2, 'b'))
    // The quickest: what a busy machine adds to the others is not the link's doing.
    expect(there).toBeGreaterThanOrEqual(delayMs)
    expect(there).toBeLessThan(delayMs + 1)
    expect(back).toBeLessThan(1)
  })

  test('delays by destination: each its own, and none waits for a longer one', async () => {
    const { lab } = await linked({ delayMs: 5, delaysTo: { '10.2.0.2': 25, '10.2.0.3': 60 } }, {})
    lab.ip('b', 'addr add 10.2.0.3/24 dev eth0', 'addr add 10.2.0.4/24 dev eth0')
    const least = async (address: string): Promise<number> =>
      Number(/= ([\d.]+)\//.exec((await lab.run('a', 'ping', ['-c5', '-i0.1', address])).stdout)?.[1])
    const all = await Promise.all(['10.2.0.2', '10.2.0.3', '10.2.0.4'].map(least))
    for (const [i, ms] of [25, 60, 5].entries()) {
      expect(all[i]).toBeGreaterThanOrEqual(ms)
      expect(all[i]).toBeLessThan(ms + 4)
    }
  })

  test('jitter: evenly spread over its range, order kept', async () => {
    const { lab } = await linked({ delayMs: 40, jitterMs: 15 })
    // A busy machine makes some later than the link does: the best of three.
    let best = { quickest: 0, off: Number.POSITIVE_INFINITY }
    for (let run = 0; run < 3 && best.off >= 0.16; run++) {
      // Farther apart than the jitter, so that nobody waits for the one before.
      const got = await oneWay(lab, 150, 31)
      expect(got.map(([n]) => n)).toEqual(Array.from({ length: 150 }, (_, n) => n))
      const delays = got.map(([, ms]) => ms).toSorted((x, y) => x - y)
      expect(delays[0]).toBeGreaterThanOrEqual(25)
      const share = (below: number): number => delays.filter((ms) => ms < below + 0.5).length / delays.length
      const off = Math.max(...[0.25, 0.5, 0.75].map((part) => Math.abs(share(25 + 30 * part) - part)))
      if (off < best.off) best = { quickest: delays[0] ?? 0, off }
    }
    expect(best.quickest).toBeLessThan(27)
    // Even spread: the quarters of a uniform distribution, each within four standard deviations of 150 draws.
    expect(best.off).toBeLessThan(0.16)
  })

  test('loss: its share is missing, in the direction asked for, and is counted', async () => {
    const { lab, link } = await linked({ lossPercent: 20 }, {})
    const there = await oneWay(lab, 2000, 0.5)
    // Standard deviation is 18; six of them.
    expect(Math.abs(2000 - there.length - 400)).toBeLessThan(108)
    expect(await oneWay(lab, 500, 0.5, 'b')).toHaveLength(500)
    const counts = await link.change()
    expect(counts.there.lost).toBeGreaterThanOrEqual(2000 - there.length)
    expect(counts.there.taken).toBe(counts.there.arrived + counts.there.lost)
    expect(counts.back.lost).toBe(0)
  })

  test('reordering: its share overtakes, nothing is lost', async () => {
    const { lab } = await linked({ delayMs: 10, reorderPercent: 10 })
    const got = await oneWay(lab, 1000, 1)
    expect(got).toHaveLength(1000)
    // Who overtakes has none of the delay. Standard deviation is 9.5; six of them.
    const early = got.filter(([, ms]) => ms < 9).length
    expect(Math.abs(early - 100)).toBeLessThan(57)
  })

  test('rate: a flood comes out at the link’s speed, after the queue is full the rest is dropped at its tail', async () => {
    // On a busy machine the flood may pause until the queue is empty: the best of three.
    let best = { mbit: 0, waits: [0] }
    for (let run = 0; run < 3 && best.mbit < 4.8; run++) {
      const { lab, link } = await linked({ rateMbit: 5, queueMs: 50 })
      const got = await oneWay(lab, 3000, 0.5, 'a', 1000)
      const { there } = await link.change()
      expect(there.full).toBeGreaterThan(0)
      expect(there.lost).toBe(0)
      // Frames of 1000 + 28 + 14 bytes.
      const [first, last] = [got[10], got.at(-1)]
      const mbit = ((got.length - 11) * 1042 * 8) / ((last?.[2] ?? 0) - (first?.[2] ?? 0)) / 1000
      const waits = got.map(([, ms]) => ms).toSorted((x, y) => x - y)
      if (mbit > best.mbit) best = { mbit, waits }
    }
    expect(best.mbit).toBeGreaterThan(4.8)
    expect(best.mbit).toBeLessThan(5.2)
    // Most of a flood waits for nearly all of the queue.
    expect(best.waits[best.waits.length >> 1]).toBeGreaterThan(40)
    expect(best.waits[best.waits.length >> 1]).toBeLessThan(60)
  })

  test('rate: TCP gets the link’s speed and not more; bytes arrive whole', async () => {
    const { lab } = await linked({ rateMbit: 20, delayMs: 5 })
    const server = lab.spawn('b', 'iperf3', 'iperf3', ['-s', '--forceflush'])
    await server.line(/listening/i)
    const text = await lab.must('a', 'iperf3', ['-J', '-t', '3', '-c', '10.2.0.2'])
    const { bits_per_second: bits } = JSON.parse(text).end.sum_received
    expect(bits).toBeLessThan(20e6)
    expect(bits).toBeGreaterThan(4e6)
  })

  test('MTU: a full frame passes, a longer packet does not', async () => {
    const { lab } = await linked({}, {}, 1280)
    expect((await lab.run('a', 'ping', ['-c1', '-W2', '-M', 'do', '-s', '1252', '10.2.0.2'])).code).toBe(0)
    expect((await lab.run('a', 'ping', ['-c1', '-W1', '-M', 'do', '-s', '1253', '10.2.0.2'])).code).not.toBe(0)
  })

  test('the weather changes while packets are under way: an outage that no interface shows, and back', async () => {
    const { lab, link } = await linked({ delayMs: 5 })
    const ping = async (): Promise<boolean> => (await lab.run('a', 'ping', ['-c1', '-W1', '10.2.0.2'])).code === 0
    expect(await ping()).toBe(true)
    const before = await link.change({ there: { lossPercent: 100 } })
    expect(before.there.lost).toBe(0)
    expect(await ping()).toBe(false)
    expect((await link.change({ there: { delayMs: 5 } })).there.lost).toBeGreaterThan(0)
    expect(await ping()).toBe(true)
  })
})

type Arrival = readonly [n: number, onTheWayMs: number, atMs: number]

/** Sends counted datagrams across and gives those that came, in the order they came. */
async function oneWay(
  lab: Lab,
  count: number,
  periodMs: number,
  from: 'a' | 'b' = 'a',
  bytes = 100,
): Promise<Arrival[]> {
  const to = from === 'a' ? 'b' : 'a'
  const taker = await takerOf(lab, to)
  const before = taker.text().length
  const address = to === 'b' ? '10.2.0.2' : '10.2.0.1'
  await lab.must(from, process.execPath, [PROGRAM, 'send', address, '7000', ...[count, periodMs, bytes].map(String)])
  for (;;) {
    const line = taker
      .text()
      .slice(before)
      .split('\n')
      .find((text) => text.startsWith('{"got"') && text.endsWith('}'))
    if (line !== undefined) return (JSON.parse(line) as { got: Arrival[] }).got
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

async function takerOf(lab: Lab, room: string): Promise<Program> {
  const key = `${lab.dir} ${room}`
  let taker = takers.get(key)
  if (taker === undefined) {
    taker = lab.spawn(room, `take-${room}`, process.execPath, [PROGRAM, 'take', '7000'])
    takers.set(key, taker)
    await taker.line(/ready/)
  }
  return taker
}

const takers = new Map<string, Program>()
const PROGRAM = join(ROOT, 'test/netns/programs/one-way.ts')

const quickest = (got: readonly Arrival[]): number => Math.min(...got.map(([, ms]) => ms))

async function linked(there: Weather, back: Weather = there, mtu = 1500): Promise<{ lab: Lab; link: WeatherLink }> {
  const lab = new Lab()
  onTestFinished(() => lab.dispose())
  lab.room('a')
  lab.room('b')
  const link = await weatherLink(lab, { a: ['a', 'eth0'], b: ['b', 'eth0'], there, back, mtu })
  lab.ip('a', 'addr add 10.2.0.1/24 dev eth0')
  lab.ip('b', 'addr add 10.2.0.2/24 dev eth0')
  return { lab, link }
}
