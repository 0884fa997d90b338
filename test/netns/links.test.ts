import { expect, onTestFinished, test } from 'vitest'
import { weatherLink } from '#lab/links.ts'
import { Lab } from '#lab/netns.ts'
import type { Weather } from '#lab/weather.ts'
import { describeLab } from '#test/support/lab.ts'

// a 10.2.0.1 eth0 ══ link process: weather ══ eth0 10.2.0.2 b

describeLab('a link with weather', () => {
  test('delay: the round trip takes both ways', async () => {
    const lab = await linked({ delayMs: 20 }, { delayMs: 30 })
    const { stdout } = await lab.run('a', 'ping', ['-c', '10', '-i', '0.1', '10.2.0.2'])
    const least = Number(/= ([\d.]+)\//.exec(stdout)?.[1])
    // Never less than asked for; the quickest of ten is not far above it on a busy machine either.
    expect(least, stdout).toBeGreaterThanOrEqual(50)
    expect(least, stdout).toBeLessThan(95)
  })

  test('loss: its share of pings is missing, in the direction asked for', async () => {
    const lab = await linked({ lossPercent: 50 }, {})
    const { stdout } = await lab.run('a', 'ping', ['-c', '100', '-i', '0.01', '-W', '1', '10.2.0.2'])
    const received = Number(/(\d+) received/.exec(stdout)?.[1])
    expect(received, stdout).toBeGreaterThan(20)
    expect(received, stdout).toBeLessThan(80)
  })

  test('rate: TCP gets the link’s speed and not more; bytes arrive whole', async () => {
    const lab = await linked({ rateMbit: 20, delayMs: 5 })
    const server = lab.spawn('b', 'iperf3', 'iperf3', ['-s', '--forceflush'])
    await server.line(/listening/i)
    const text = await lab.must('a', 'iperf3', ['-J', '-t', '3', '-c', '10.2.0.2'])
    const { bits_per_second: bits } = JSON.parse(text).end.sum_received
    expect(bits).toBeLessThan(20e6)
    expect(bits).toBeGreaterThan(4e6)
  })

  test('MTU: a full frame passes, a longer packet does not', async () => {
    const lab = await linked({}, {}, 1280)
    expect((await lab.run('a', 'ping', ['-c1', '-W2', '-M', 'do', '-s', '1252', '10.2.0.2'])).code).toBe(0)
    expect((await lab.run('a', 'ping', ['-c1', '-W1', '-M', 'do', '-s', '1253', '10.2.0.2'])).code).not.toBe(0)
  })
})

async function linked(there: Weather, back: Weather = there, mtu = 1500): Promise<Lab> {
  const lab = new Lab()
  onTestFinished(() => lab.dispose())
  lab.room('a')
  lab.room('b')
  await weatherLink(lab, { a: ['a', 'eth0'], b: ['b', 'eth0'], there, back, mtu })
  lab.ip('a', 'addr add 10.2.0.1/24 dev eth0')
  lab.ip('b', 'addr add 10.2.0.2/24 dev eth0')
  return lab
}
