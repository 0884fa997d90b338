import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type NodesScene, nodes } from '#lab/scenes/nodes.ts'
import { describeLab } from '#test/support/lab.ts'

// old: IPv4 only, servers = "direct"   ·   both: two families, servers = "tt"   ·   stub: two families, nothing touched
describeLab('a terminal and ordinary servers', () => {
  let scene: NodesScene
  let failed = false
  const curl = async (room: string, ...args: string[]): Promise<string> => {
    const done = await scene.lab.run(room, 'curl', ['-sS', '-m10', ...args])
    return done.stdout + done.stderr
  }
  const seats: Record<string, { ip4: string | null; ip6: string | null }> = {}

  beforeAll(async () => {
    scene = await nodes({
      servers: true,
      relays: 0,
      zones: [{ origin: 'plain.example', records: ['fresh A 20.9.9.9'] }],
    })
    const [four, two] = [await scene.site('four', 'v4-only'), await scene.site('two', 'none')]
    seats['old'] = scene.machine('old', four)
    seats['both'] = scene.machine('both', two)
    seats['stub'] = scene.machine('stub', two)
    await scene.node('old')
    await scene.node('both', { 'node.servers': 'tt' })
    await scene.node('stub', { 'dns.mode': 'stub', 'dns.listen': '127.0.0.1:5353' })
  })
  afterEach(({ task }) => {
    failed ||= task.result?.state === 'fail'
  })
  afterAll(() => {
    if (failed) process.stderr.write(`the lab's logs: ${scene?.lab.keepLogs('failed-servers')}\n`)
    scene?.dispose()
  })

  test('from a place with IPv4 alone an IPv6-only server is reached by its name', async () => {
    expect(await curl('old', '-4', 'http://web6.example/')).toBe('This is the page of web.example.\n')
    // The server sees the terminator, over IPv6.
    expect(await curl('old', 'http://web6.example/ip')).toBe(`${scene.at['tt']?.ip6}\n`)
    const path = (await scene.status('old')).paths.find((p) => p.peer === `tt1.${scene.zone}`)
    expect(path).toMatchObject({ state: 'open', way: 'direct' })
  })

  test('a server that has IPv4 is reached as without us', async () => {
    expect(await curl('old', 'http://web4.example/ip')).toBe(`${seats['old']?.ip4}\n`)
    expect(await curl('old', 'http://web.example/ip')).toBe(`${seats['old']?.ip4}\n`)
  })

  test('servers = "tt": all go through the terminator, either family', async () => {
    for (const [family, name] of [
      ['-4', 'web.example'],
      ['-6', 'web.example'],
      ['-4', 'web4.example'],
      ['-6', 'web6.example'],
    ] as const) {
      const seen = (await curl('both', family, `http://${name}/ip`)).trim()
      expect([scene.at['tt']?.ip4, scene.at['tt']?.ip6], `${family} ${name}`).toContain(seen)
    }
    expect(await curl('both', 'http://nothing.example/')).toContain('Could not resolve host')
  })

  test('servers = "tt" without its terminator: the server\'s own address, in time', async () => {
    await scene.programs.running.get('tt')?.stop()
    const begun = Date.now()
    const dig = await scene.lab.run('both', 'dig', ['+tries=1', '+time=5', '+short', 'fresh.plain.example', 'A'])
    expect(dig.stdout.trim()).toBe('20.9.9.9')
    expect(Date.now() - begun).toBeLessThan(4000)
  })

  test('mode = "stub": nothing of the machine is touched, and who asks us is served', async () => {
    const conf = await scene.lab.must('stub', 'cat', ['/etc/resolv.conf'])
    expect(conf).not.toContain('127.0.0')
    const ask = async (...args: string[]): Promise<string> =>
      (await scene.lab.must('stub', 'dig', ['+tries=1', '+short', '-p', '5353', '@127.0.0.1', ...args])).trim()
    expect(await ask('old.ntm.example', 'A')).toBe((await scene.status('old')).virtual[0])
    expect(await ask('web4.example', 'A')).toBe(scene.at['web']?.ip4)
  })
})
