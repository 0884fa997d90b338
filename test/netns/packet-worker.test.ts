import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import { type Program, pause, until } from '#lab/process.ts'
import { describeLab } from '#test/support/lab.ts'
import { type TunEnds, tunEnds } from './tun-ends.ts'

// a ── b, two plain ends with a packet worker each, a tunnel between their TUN devices (`tun-ends.ts`).

const TCP = join(ROOT, 'test/netns/programs/counted-tcp.ts')
const FLOOD = join(ROOT, 'test/netns/programs/udp-flood.ts')
const COUNTED = join(ROOT, 'test/netns/programs/counted-udp.ts')

describeLab('a packet worker between two TUN devices', () => {
  let ends: TunEnds
  let sink: Program
  beforeAll(async () => {
    ends = await tunEnds(['--mtu', '9000', '--workers', '1'])
    sink = ends.lab.spawn('b', 'sink', process.execPath, [COUNTED, 'sink', '7000'])
    await sink.line(/"listening"/)
  })
  afterAll(() => ends?.lab.dispose())

  test.each(['198.18.0.2', 'fd12:3456:789a::2'])(
    '%s answers, with packets of every size that the tunnel takes whole',
    async (ip) => {
      for (const bytes of [16, 1200, 1392])
        expect(await ping(ip, '-c', '5', '-i', '0.01', '-s', String(bytes))).toMatch(/ 0% packet loss/)
    },
  )

  test.each(['198.18.0.2', 'fd12:3456:789a::2'])(
    'TCP to %s arrives whole, in super-packets, and is counted',
    async (ip) => {
      const before = await ends.counters('b')
      const server = ends.lab.spawn('b', `tcp-${ip.length}`, process.execPath, [TCP, 'serve', `${7100 + ip.length}`])
      await server.line(/"listening"/)
      const sent = await ends.lab.must('a', process.execPath, [TCP, 'send', ip, `${7100 + ip.length}`, '4000000'])
      expect(await server.line(/"digest"/)).toBe(sent.trim())
      const after = await ends.counters('b')
      const rose = (name: string): number => (after[name] ?? 0) - (before[name] ?? 0)
      expect(rose('port.udp.in')).toBeGreaterThan(2800)
      expect(rose('port.tun.out')).toBeGreaterThan(0)
      expect((await ends.counters('a'))['port.tun.superIn']).toBeGreaterThan(0)
    },
  )

  test('what is too big for the tunnel is told, or cut where that is allowed', async () => {
    const told = await ends.lab.run('a', 'ping', ['-c', '2', '-W', '1', '-M', 'do', '-s', '4000', '198.18.0.2'])
    expect(told.stdout + told.stderr).toMatch(/mtu ?= ?1440/)
    ends.lab.ip('a', 'route flush cache')
    expect(await ping('198.18.0.2', '-c', '3', '-i', '0.01', '-M', 'dont', '-s', '4000')).toMatch(/ 0% packet loss/)
    const six = await ends.lab.run('a', 'ping', ['-c', '5', '-W', '1', '-i', '0.2', '-s', '4000', 'fd12:3456:789a::2'])
    // The first is too big in one direction, the next in the other; then both kernels cut them themselves.
    expect(six.stdout).toMatch(/mtu=1440/)
    expect(six.stdout).toMatch(/icmp_seq=5 ttl/)
  })

  test('a destination that no path leads to is counted', async () => {
    await ends.lab.run('a', 'ping', ['-c', '1', '-W', '1', '198.18.7.7'])
    expect((await ends.counters('a'))['tun.drop.no-path']).toBeGreaterThan(0)
  })

  test('control threads that stand still for a second delay no packet', async () => {
    const pings = ping('198.18.0.2', '-c', '250', '-i', '0.01')
    const source = ends.lab.must('a', process.execPath, [COUNTED, 'source', '198.18.0.2', '7000', '1000', '3'])
    await pause(800)
    for (const end of [ends.a, ends.b]) end.kill('SIGUSR2')
    const { sent, from } = JSON.parse(await source) as { sent: number; from: number }
    const run = JSON.parse(await sink.line(new RegExp(`"run":${from},`))) as Record<string, number>
    for (const end of [ends.a, ends.b]) await end.line(/"blocked":"ends"/)
    expect(run).toMatchObject({ received: sent, disorder: 0 })
    expect(run['gapMs']).toBeLessThan(300)
    const rtt = await pings
    expect(rtt).toMatch(/ 0% packet loss/)
    expect(Number(/= [\d.]+\/[\d.]+\/([\d.]+)\//.exec(rtt)?.[1])).toBeLessThan(300)
  })

  test('an idle end sleeps: less than one hundredth of a core', async () => {
    await pause(500)
    const before = ticks(ends.b.pid)
    await pause(3000)
    // In hundredths of a second.
    expect(ticks(ends.b.pid) - before).toBeLessThanOrEqual(3)
  })

  test('a worker whose device is removed ends the program with the reason', async () => {
    ends.lab.ip('a', 'link del ntm0')
    expect(await ends.a.exited).toBe(1)
    expect(ends.a.text()).toMatch(/IoFault: use ntm0: the interface was removed/)
  })

  async function ping(ip: string, ...options: string[]): Promise<string> {
    return (await ends.lab.run('a', 'ping', ['-W', '2', ...options, ip])).stdout
  }
})

describeLab('the packet side in the control thread', () => {
  let ends: TunEnds
  beforeAll(async () => {
    ends = await tunEnds(['--workers', '0'])
  })
  afterAll(() => ends?.lab.dispose())

  test('carries packets and counts the same', async () => {
    const pinged = await ends.lab.run('a', 'ping', ['-c', '20', '-i', '0.01', '198.18.0.2'])
    expect(pinged.stdout).toMatch(/ 0% packet loss/)
    expect((await ends.counters('b'))['port.tun.out']).toBeGreaterThanOrEqual(20)
  })

  test('ends in an orderly way, and tells the other end', async () => {
    ends.a.kill('SIGTERM')
    expect(await ends.a.exited).toBe(0)
    await ends.b.line(/tunnel\.closed/)
  })
})

describeLab('two packet workers at each end', () => {
  let ends: TunEnds
  beforeAll(async () => {
    ends = await tunEnds(['--workers', '2'])
  })
  afterAll(() => ends?.lab.dispose())

  test('many flows both ways: nothing is lost, each stays in order, and both workers have a share', async () => {
    const runs = await Promise.all(
      (['a', 'b'] as const).map(async (room) => {
        const [from, to, ip] = room === 'a' ? (['a', 'b', '198.18.0.2'] as const) : (['b', 'a', '198.18.0.1'] as const)
        const sink = ends.lab.spawn(to, `sink-${to}`, process.execPath, [COUNTED, 'sink', '7000'])
        await sink.line(/"listening"/)
        const told = await ends.lab.must(from, process.execPath, [COUNTED, 'source', ip, '7000', '500', '3', '8'])
        const sources = told
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line) as { sent: number; from: number })
        return Promise.all(
          sources.map(async (source) => {
            const run = JSON.parse(await sink.line(new RegExp(`"run":${source.from},`))) as Record<string, number>
            return { ...source, received: run['received'], disorder: run['disorder'] }
          }),
        )
      }),
    )
    expect(runs.flat()).toHaveLength(16)
    for (const run of runs.flat()) expect(run).toMatchObject({ received: run.sent, disorder: 0 })
    const counts = await ends.counters('b')
    // 12,000 came in each direction, from two queues into two lanes; one path is opened by one worker.
    for (const port of ['tun', 'tun1']) expect(counts[`port.${port}.in`], port).toBeGreaterThan(1000)
    for (const port of ['udp', 'udp1']) expect(counts[`port.${port}.out`], port).toBeGreaterThan(1000)
    expect(counts['ntm.drop.other-worker'] ?? 0).toBe(0)
    expect(counts['ntm.drop.replay'] ?? 0).toBe(0)
  })

  test('TCP both ways at once arrives whole', async () => {
    const done = await Promise.all(
      (['a', 'b'] as const).map(async (room) => {
        const [from, to, ip] = room === 'a' ? (['a', 'b', '198.18.0.2'] as const) : (['b', 'a', '198.18.0.1'] as const)
        const server = ends.lab.spawn(to, `tcp-${to}`, process.execPath, [TCP, 'serve', '7001'])
        await server.line(/"listening"/)
        const sent = await ends.lab.must(from, process.execPath, [TCP, 'send', ip, '7001', '8000000'])
        return { sent: sent.trim(), got: await server.line(/"digest"/) }
      }),
    )
    for (const { sent, got } of done) expect(got).toBe(sent)
  })

  test('a path that has become narrow is noticed by what the kernel refuses, and searched anew', async () => {
    expect((await ends.lab.run('a', 'ping', ['-c', '2', '-s', '1300', '198.18.0.2'])).stdout).toMatch(/ 0% packet loss/)
    for (const room of ['a', 'b']) ends.lab.ip(room, 'link set eth0 mtu 900')
    // Without DF: what no longer goes whole goes in halves, or comes back as too big and is cut.
    await until('packets of the old size pass again', async () => {
      const { stdout } = await ends.lab.run('a', 'ping', [
        '-c',
        '1',
        '-W',
        '1',
        '-M',
        'dont',
        '-s',
        '1300',
        '198.18.0.2',
      ])
      return / 0% packet loss/.test(stdout) ? true : null
    })
  })
})

describeLab('a packet worker on a narrow path', () => {
  let ends: TunEnds
  let sink: Program
  beforeAll(async () => {
    ends = await tunEnds(['--underlay', '1000', '--mtu', '1280'], 1000)
    sink = ends.lab.spawn('b', 'sink', process.execPath, [COUNTED, 'sink', '7000'])
    await sink.line(/"listening"/)
  })
  afterAll(() => ends?.lab.dispose())

  test.each(['198.18.0.2', 'fd12:3456:789a::2'])(
    'datagrams of a super-packet to %s that do not travel whole go one by one, in halves',
    async (ip) => {
      const before = await ends.counters('a')
      const sent = await ends.lab.must('a', process.execPath, [FLOOD, ip, '7000', 'runs', '1200', '1000'])
      const { from } = JSON.parse(sent) as { from: number }
      expect(JSON.parse(await sink.line(new RegExp(`"run":${from},`)))).toMatchObject({ received: 1000, disorder: 0 })
      const after = await ends.counters('a')
      const rose = (name: string): number => (after[name] ?? 0) - (before[name] ?? 0)
      expect(rose('port.tun.superIn')).toBeGreaterThanOrEqual(100)
      expect(rose('port.udp.out')).toBeGreaterThanOrEqual(2000)
    },
  )
})

describeLab('what packets leave for the garbage collector', () => {
  let ends: TunEnds
  beforeAll(async () => {
    ends = await tunEnds([], 1500, ['--trace-gc'])
  })
  afterAll(() => ends?.lab.dispose())

  test('a million packets: less than one object each, whoever makes it', async () => {
    const flood = (count: number): Promise<string> =>
      ends.lab.must('a', process.execPath, [FLOOD, '198.18.0.2', '7000', 'one', '64', String(count)])
    // What is warm is what counts: until then the code itself is being made.
    await flood(200_000)
    const starts = [ends.a, ends.b].map((end) => end.text().length)
    const before = [await ends.counters('a'), await ends.counters('b')]
    await flood(1_000_000)
    const after = [await ends.counters('a'), await ends.counters('b')]
    for (const [i, end] of [ends.a, ends.b].entries()) {
      const port = i === 0 ? 'port.tun.in' : 'port.udp.in'
      const packets = (after[i]?.[port] ?? 0) - (before[i]?.[port] ?? 0)
      expect(packets).toBeGreaterThan(500_000)
      expect(collected(end.text(), starts[i] ?? 0) / packets).toBeLessThan(10)
    }
  })
})

/** Bytes that all threads have allocated between their first collection after `start` of the log and their last. */
function collected(log: string, start: number): number {
  const last = new Map<string, number>()
  let sum = 0
  for (const m of log.matchAll(
    /^\[\d+:(0x[0-9a-f]+)\].*?: (?:Scavenge|Mark-Compact) ([\d.]+) \([\d.]+\) -> ([\d.]+)/gm,
  )) {
    const [, isolate = '', before, left] = m
    const known = last.get(isolate)
    if (m.index >= start) sum += known === undefined ? 0 : Number(before) - known
    last.set(isolate, Number(left))
  }
  return sum * 2 ** 20
}

/** Processor time of all of a process's threads. */
function ticks(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).reduce((sum, task) => sum + ticksOf(`/proc/${pid}/task/${task}`), 0)
}

/** Hundredths of a second, user and system. */
function ticksOf(task: string): number {
  const fields = readFileSync(`${task}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return Number(fields[11]) + Number(fields[12])
}
