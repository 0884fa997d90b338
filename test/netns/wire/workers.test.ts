import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CHECKS, PAGE } from '#lab/checks.ts'
import { bigFile } from '#lab/content.ts'
import { ROOT } from '#lab/netns.ts'
import { pause, until } from '#lab/process.ts'
import { PLACE } from '#lab/scenes/v4-host-to-v6-server.ts'
import { describeLab } from '#test/support/lab.ts'
import { Rig } from './box.ts'

// The whole system with the bridge's packets shared out among two and three workers: all that one worker does, and each with its share.

const COUNTED = join(ROOT, 'test/netns/programs/counted-udp.ts')

for (const workers of [2, 3]) {
  describeLab(`the bridge with ${workers} packet workers`, () => {
    let rig: Rig
    let address: string
    const all = Array.from({ length: workers }, (_, i) => (i === 0 ? '' : String(i)))
    beforeAll(async () => {
      rig = await Rig.build()
      await rig.start({ 'packets.workers': workers })
      await rig.page()
      address = (await rig.scene.lab.must('host', 'dig', ['+short', '+tries=1', PLACE.web6.name, 'A'])).trim()
      expect(address).toMatch(/^198\.19\./)
    })
    afterAll(() => rig?.scene.dispose())

    for (const check of [PAGE, ...CHECKS]) {
      test(check.title, async () => {
        expect(await check.run(rig.scene)).not.toBe('')
      })
    }

    test('many flows: nothing is lost, each stays in order, every worker has a share', async () => {
      const before = await counters()
      const sink = rig.scene.lab.spawn('web6', 'sink', process.execPath, [COUNTED, 'sink', '5004'])
      await sink.line(/listening/)
      // Longer than a decision holds in a follower, so that flows change hands while they run.
      const told = await rig.scene.lab.must('host', process.execPath, [
        COUNTED,
        ...['source', address, '5004', '300', '12', '16', '200,900'],
      ])
      const sources = told
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { sent: number; from: number })
      expect(sources).toHaveLength(16)
      const runs = await sunk(sink.text.bind(sink), 16)
      expect(runs).toHaveLength(16)
      expect(runs.map(({ received, disorder }) => [received, disorder])).toEqual(runs.map(() => [3600, 0]))
      await sink.stop()
      const done = since(before, await counters())
      for (const i of all) expect(done(`port.tap${i}.in`), `worker ${i}`).toBeGreaterThan(1000)
      for (const i of all) expect(done(`port.udp${i}.out`), `worker ${i}`).toBeGreaterThan(1000)
      // What the lead does for its followers is the exception.
      expect(done('link.handed')).toBeGreaterThan(workers - 2)
      expect(done('link.handed')).toBeLessThan(1000)
      for (const name of ['link.drop.full', 'ntm.drop.other-worker', 'ntm.drop.replay']) expect(done(name)).toBe(0)
    })

    test('eight streams of TCP there and back at once arrive whole, and followers had their share', async () => {
      const before = await counters()
      const url = `http://${PLACE.web6.name}`
      const { lab } = rig.scene
      await Promise.all(
        Array.from({ length: 8 }, async (_, i) => {
          if (i % 2 === 0) {
            const to = `${url}/upload/many-${i}`
            await lab.must('host', 'curl', ['-sS', '--fail', '--max-time', '50', '-T', bigFile(), to])
            expect(digest(join(rig.scene.uploads, `many-${i}`))).toBe(digest(bigFile()))
          } else {
            const file = join(lab.dir, `many-${i}`)
            await lab.must('host', 'curl', ['-sS', '--fail', '--max-time', '50', '-o', file, `${url}/100m.bin`])
            expect(digest(file)).toBe(digest(bigFile()))
          }
        }),
      )
      const done = since(before, await counters())
      // Eight connections with ports of chance: one of three queues may well stay without.
      const followed = all.filter((i) => i !== '').reduce((sum, i) => sum + done(`port.tap${i}.in`), 0)
      expect(followed).toBeGreaterThan(100)
      expect(done('link.drop.full')).toBe(0)
      process.stdout.write(`  ${JSON.stringify(all.map((i) => [done(`port.tap${i}.in`), done(`port.udp${i}.in`)]))}\n`)
    })

    test('a follower that opens the tunnel gives packets to the host itself', async () => {
      // The last byte of the Path ID is drawn: sooner or later it is not the lead's.
      for (let n = 0; n < 20; n++) {
        const before = await counters()
        await rig.page()
        const done = since(before, await counters())
        if (done('port.udp.in') <= done('port.udp1.in') + done('port.udp2.in')) break
        await rig.program?.stop(10_000)
        await rig.start()
      }
      const before = await counters()
      for (const title of ['download of 100 MB, checksum', 'upload of 100 MB, checksum'])
        await CHECKS.find((c) => c.title === title)?.run(rig.scene)
      const done = since(before, await counters())
      expect(done('port.udp1.in') + done('port.udp2.in')).toBeGreaterThan(50_000)
      expect(done('port.host1.out') + done('port.host2.out')).toBeGreaterThan(1000)
      expect(done('port.host.out')).toBeLessThan(1000)
      expect(done('link.drop.full')).toBe(0)
    })

    test('ports change their MTU, one leaves and returns, in the middle of an upload: it arrives', async () => {
      const { lab } = rig.scene
      const armed = events('bridge.diverting')
      const url = `http://${PLACE.web6.name}/upload/disturbed`
      const slow = ['--limit-rate', '8M', '-T', bigFile(), url]
      const arrived = lab.must('host', 'curl', ['-sS', '--fail', '--max-time', '50', ...slow])
      for (const mtu of ['1400', '1500', '1300', '1500']) {
        await pause(700)
        lab.ip('bridge', `link set host0 mtu ${mtu}`, `link set net0 mtu ${mtu}`)
      }
      await pause(500)
      lab.ip('bridge', 'link del ntmx0')
      await until('the wire is back', () => (events('bridge.diverting') > armed ? true : null))
      await pause(1000)
      lab.ip('bridge', `link set net0 netns ${lab.netns('neighbour')} name away`)
      await until('the wire is down', () => (events('bridge.port-gone') > 0 ? true : null))
      lab.ip('neighbour', `link set away netns ${lab.netns('bridge')} name net0`)
      await lab.must('bridge', 'sh', [join(ROOT, 'board/common/bridge-up.sh'), 'host0', 'net0', 'br0'])
      await until('the wire is back', () => (events('bridge.diverting') > armed + 1 ? true : null))
      await arrived
      expect(digest(join(rig.scene.uploads, 'disturbed'))).toBe(digest(bigFile()))
      expect(events('role.failed')).toBe(0)
      await until('the page', () => rig.page().catch(() => null), 15_000, 200)
    })

    test('a follower that is blocked disarms the diversion, one that dies ends the program', async () => {
      await rig.program?.stop(10_000)
      const bridge = rig.scene.lab.spawn('bridge', 'bridge-blockable', process.execPath, [
        join(ROOT, 'test/netns/programs/blockable.ts'),
        ...['bridge', '--config', join(rig.scene.lab.dir, 'bridge/ntm.toml')],
      ])
      rig.program = bridge
      await bridge.line(/"event":"role\.ready"/, 20_000)
      await rig.page()
      bridge.kill('SIGWINCH')
      await bridge.line(/"event":"bridge\.reader-silent"/, 10_000)
      await bridge.line(/"event":"bridge\.reader-back"/, 10_000)
      await until('the page', () => rig.page().catch(() => null), 15_000, 200)
      bridge.kill('SIGURG')
      expect(await bridge.exited).toBe(1)
      expect(bridge.text()).toMatch(/ntm-packets.* ended by itself.*"event":"role\.failed"/)
      const tables = await rig.scene.lab.must('bridge', 'nft', ['list', 'tables'])
      expect(tables).toContain('ntm_guard')
      expect(tables).not.toContain('ntm_divert')
    })

    const counters = (): Promise<Record<string, number>> => counted(rig)
    const events = (event: string): number => (rig.program?.text() ?? '').split(`"event":"${event}"`).length - 1
  })
}

describeLab('decisions that are void fifty times a second', () => {
  let rig: Rig
  beforeAll(async () => {
    rig = await Rig.build()
    await rig.start({ 'packets.workers': 2 })
    await rig.page()
  })
  afterAll(() => rig?.scene.dispose())

  test('flows change hands all the time, and stay in order', async () => {
    const { lab } = rig.scene
    const address = (await lab.must('host', 'dig', ['+short', '+tries=1', PLACE.web6.name, 'A'])).trim()
    const sink = lab.spawn('web6', 'sink', process.execPath, [COUNTED, 'sink', '5004'])
    await sink.line(/listening/)
    const before = await counted(rig)
    // The host says of itself that it has ever new addresses: more than are remembered.
    const link = await rig.linkAddr('host', PLACE.host.link)
    const noise = rig.chant('host', claims(link, 20), 20)
    const source = ['source', address, '5004', '1000', '6', '12', '200,900']
    const told = await lab.must('host', process.execPath, [COUNTED, ...source])
    await noise.stop()
    expect(told.trim().split('\n')).toHaveLength(12)
    const runs = await sunk(sink.text.bind(sink), 12)
    expect(runs.map((r) => r.disorder)).toEqual(Array(12).fill(0))
    const done = since(before, await counted(rig))
    // What a busy machine does not bring to us in time is lost before us, as with one worker; hardly anything else comes to the TAP.
    const came = Math.min(12 * 6000, done('port.tap.in') + done('port.tap1.in'))
    expect(came).toBeGreaterThan(50_000)
    expect(runs.reduce((sum, r) => sum + r.received, 0)).toBeGreaterThan(came - 10)
    expect(done('link.drop.full')).toBe(0)
    expect(done('link.handed')).toBeGreaterThan(100)
    expect(done('port.udp1.out'), 'and carried by the follower between').toBeGreaterThan(5000)
  })
})

/** ARP requests in which the host of that link address claims as many addresses (RFC 826). */
function claims(link: string, count: number): Buffer[] {
  return Array.from({ length: count }, (_, i) => {
    const ip = `0afe00${(i + 1).toString(16).padStart(2, '0')}`
    return Buffer.from(`ffffffffffff${link}08060001080006040001${link}${ip}000000000000${ip}`, 'hex')
  })
}

/** What the bridge has counted; asked for by SIGUSR1, as an operator would. */
async function counted(rig: Rig): Promise<Record<string, number>> {
  const lines = (): string[] =>
    (rig.program?.text() ?? '').split('\n').filter((line) => line.includes('"event":"role.counters"'))
  const before = lines().length
  rig.program?.kill('SIGUSR1')
  await until('the counters', () => (lines().length > before ? true : null))
  return JSON.parse(lines().at(-1) ?? '') as Record<string, number>
}

type Sunk = { readonly received: number; readonly disorder: number }

/** What a sink said of `count` sources. */
async function sunk(text: () => string, count: number): Promise<Sunk[]> {
  const lines = (): string[] =>
    text()
      .split('\n')
      .filter((line) => line.startsWith('{"run"'))
  await until('all runs', () => (lines().length >= count ? true : null), 5000).catch(() => {})
  return lines().map((line) => JSON.parse(line) as Sunk)
}

function since(before: Record<string, number>, now: Record<string, number>): (name: string) => number {
  return (name) => (now[name] ?? 0) - (before[name] ?? 0)
}

const digest = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex')
