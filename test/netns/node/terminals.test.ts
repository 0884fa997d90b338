import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import { until } from '#lab/process.ts'
import { describeLab } from '#test/support/lab.ts'
import { Place } from './place.ts'

describeLab('two terminals', () => {
  let place: Place
  let failed = false
  const dig = async (room: string, ...args: string[]): Promise<string> =>
    (await place.lab.run(room, 'dig', ['+tries=1', '+time=5', ...args])).stdout
  const short = async (room: string, ...args: string[]): Promise<string> => (await dig(room, '+short', ...args)).trim()

  beforeAll(async () => {
    place = await Place.up()
    // One with several packet workers: each may be asked for an address by its own packets.
    await Promise.all([place.up('alice', { 'packets.workers': 2 }), place.up('bob')])
  })
  afterEach(({ task }) => {
    failed ||= task.result?.state === 'fail'
  })
  afterAll(() => place?.dispose(failed ? 'failed-terminals' : null))

  test('each pings the other by name, IPv4 and IPv6', async () => {
    for (const [from, to] of [
      ['alice', 'bob'],
      ['bob', 'alice'],
    ] as const)
      for (const family of ['-4', '-6']) {
        const done = await place.lab.run(from, 'ping', [family, '-c3', '-i0.2', '-W2', `${to}.ntm.example`])
        expect(done.stdout + done.stderr, `${from} ${family}`).toContain('3 received')
      }
  })

  test('curl, and a conversation over TCP, by name in both directions', async () => {
    const program = join(ROOT, 'test/netns/programs/talk.ts')
    for (const room of ['alice', 'bob'])
      await place.lab
        .spawn(room, `${room}-talk`, process.execPath, [program, 'serve', '7022', '8080', room])
        .line(/ready/)
    for (const [from, to] of [
      ['alice', 'bob'],
      ['bob', 'alice'],
    ] as const)
      for (const family of ['4', '6']) {
        const page = await place.lab.run(from, 'curl', [`-${family}sS`, '-m10', `http://${to}.ntm.example:8080/`])
        expect(page.stdout + page.stderr).toContain(`page of ${to}`)
        const talk = await place.lab.must(from, process.execPath, [
          program,
          'talk',
          `${to}.ntm.example`,
          '7022',
          family,
          '200',
        ])
        expect(JSON.parse(talk)).toMatchObject({ lines: 200, same: true })
      }
  })

  test('a virtual address remembered from before is asked for, one of nobody is refused at once', async () => {
    const vip = await short('alice', 'bob.ntm.example', 'A')
    for (const room of ['alice', 'bob']) await place.programs.running.get(room)?.stop()
    for (const room of ['alice', 'bob']) await place.again(room)
    // Not one is lost: the first waits for its path.
    const back = await place.lab.run('alice', 'ping', ['-c2', '-i0.2', '-W3', vip])
    expect(back.stdout).toContain('2 received')
    const nobody = await place.lab.run('alice', 'ping', ['-c3', '-i0.5', '-W3', '198.18.200.200'])
    expect(nobody.stdout).toContain('Destination Host Unreachable')
    expect(nobody.stdout).toContain('+3 errors')
    const six = vipOf(await status('alice'), 6).replace(/:[0-9a-f]+$/, ':1')
    const nobody6 = await place.lab.run('alice', 'ping', ['-c3', '-i0.5', '-W3', six])
    expect(nobody6.stdout).toContain('Address unreachable')
  })

  test('what is not there: no such name, no such type, nobody home in time', async () => {
    expect(await dig('alice', 'nobody.ntm.example', 'A')).toContain('status: NXDOMAIN')
    const nodata = await dig('alice', 'bob.ntm.example', 'MX')
    expect(nodata).toContain('status: NOERROR')
    expect(nodata).toContain('ANSWER: 0')
    expect(await short('alice', '-x', await short('alice', 'bob.ntm.example', 'A'))).toBe('bob.ntm.example.')
    await place.programs.token('coordinator', 'absent', 'node')
    const begun = Date.now()
    const silent = await dig('alice', 'absent.ntm.example', 'A')
    expect(silent).toMatch(/status: (SERVFAIL|NXDOMAIN)/)
    expect(Date.now() - begun).toBeLessThan(4000)
  })

  test("all other names are the former resolver's, over UDP and TCP", async () => {
    expect(await short('alice', 'web.other.example', 'A')).toBe('20.9.9.9')
    expect(await short('alice', 'web.other.example', 'AAAA')).toBe('2001:db8:9::9')
    expect(await short('alice', '+tcp', 'web.other.example', 'TXT')).toBe('"a text"')
    expect((await short('alice', 'many.other.example', 'A')).split('\n')).toHaveLength(120)
    expect(await dig('alice', 'nothing.other.example', 'A')).toContain('status: NXDOMAIN')
    // libc, with the search list of the former configuration.
    expect((await place.lab.run('alice', 'getent', ['ahosts', 'web'])).stdout).toContain('20.9.9.9')
  })

  test('status tells who we are, the coordinator, and each path', async () => {
    const said = await status('alice')
    expect(said).toMatchObject({
      role: 'node',
      name: 'alice.ntm.example',
      coordinator: { state: 'registered', lastError: null },
    })
    expect(said.names).toMatchObject({ mode: 'file', zones: ['ntm.example'], servers: [`${place.resolver}:53`] })
    const path = await until(
      'a path to bob',
      async () => (await status('alice')).paths.find((p) => p['peer'] === 'bob.ntm.example') ?? null,
    )
    expect(path).toMatchObject({ state: 'open', way: 'direct' })
    expect(Number(path['bytesIn'])).toBeGreaterThan(0)
    const text = (await place.ntm('alice', 'status', '--socket', place.socket('alice'))).stdout
    expect(text).toContain('bob.ntm.example   open   direct')
    expect((await place.lab.must('alice', 'stat', ['-c', '%a %F', place.socket('alice')])).trim()).toBe('600 socket')
  })

  test('resolv.conf: ours first; given back at the end, after a crash by the next start, and by ntm down', async () => {
    expect(place.resolvConfOf('alice')).toMatch(
      /^# ntm: .*\nnameserver 127\.0\.0\.43\n# from the lab\nsearch other\.example\nnameserver /,
    )
    await place.programs.running.get('alice')?.stop()
    expect(place.resolvConfOf('alice')).toBe(place.resolvConf)

    const crashed = await place.again('alice')
    expect(place.resolvConfOf('alice')).toContain('nameserver 127.0.0.43')
    crashed.kill('SIGKILL')
    await crashed.exited
    expect(place.resolvConfOf('alice')).toContain('nameserver 127.0.0.43')
    // Dead as we are, names still resolve: the former servers stand behind us.
    expect((await place.lab.run('alice', 'getent', ['ahosts', 'web.other.example'])).stdout).toContain('20.9.9.9')
    const second = await place.again('alice')
    expect(second.text()).toContain('"names.released-late"')
    expect(place.resolvConfOf('alice').match(/127\.0\.0\.43/g)).toHaveLength(1)
    expect(await short('alice', 'web.other.example', 'A')).toBe('20.9.9.9')
    second.kill('SIGKILL')
    await second.exited
    const down = await place.ntm('alice', 'down', '--config', place.config('alice'))
    expect(down.stdout).toContain('given back')
    expect(place.resolvConfOf('alice')).toBe(place.resolvConf)

    const third = await place.again('alice')
    expect((await place.ntm('alice', 'down', '--config', place.config('alice'))).code).toBe(0)
    expect(await third.exited).toBe(0)
    expect(place.resolvConfOf('alice')).toBe(place.resolvConf)
    expect((await place.ntm('alice', 'down', '--config', place.config('alice'))).code).toBe(1)
    await place.again('alice')
  })

  test('a range that this machine uses already is a clear error, and nothing is left behind', async () => {
    const { lab } = place
    await place.programs.running.get('bob')?.stop()
    lab.ip('bob', 'route add 198.18.77.0/24 dev lo')
    await expect(place.again('bob')).rejects.toThrow(
      /198\.18\.0\.0\/16 overlaps this machine's route 198\.18\.77\.0\/24 \(lo\)/,
    )
    expect(place.resolvConfOf('bob')).toBe(place.resolvConf)
    lab.ip('bob', 'route del 198.18.77.0/24 dev lo')
    await place.again('bob')
  })

  test('a machine without IPv6 is a terminal all the same', async () => {
    const { lab } = place
    await place.programs.running.get('bob')?.stop()
    lab.sysctl('bob', { 'net.ipv6.conf.default.disable_ipv6': 1, 'net.ipv6.conf.all.disable_ipv6': 1 })
    await place.again('bob')
    expect((await lab.run('bob', 'ping', ['-4', '-c2', '-i0.2', '-W2', 'alice.ntm.example'])).stdout).toContain(
      '2 received',
    )
  })

  type Said = { names: unknown; virtual: string[]; paths: Record<string, unknown>[]; [key: string]: unknown }
  const vipOf = (said: Said, family: 4 | 6): string =>
    said.virtual.find((ip) => ip.includes(':') === (family === 6)) ?? ''

  async function status(room: string): Promise<Said> {
    const done = await place.ntm(room, 'status', '--json', '--config', place.config(room))
    expect(done.code, done.stderr).toBe(0)
    return JSON.parse(done.stdout) as Said
  }
})
