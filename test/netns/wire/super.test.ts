import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CHECKS, PAGE } from '#lab/checks.ts'
import { bigFile } from '#lab/content.ts'
import { ROOT } from '#lab/netns.ts'
import { pause, until } from '#lab/process.ts'
import { PLACE, type Room } from '#lab/scenes/v4-host-to-v6-server.ts'
import { describeLab } from '#test/support/lab.ts'
import { judge, type Verdict } from '../super/scene.ts'
import { Rig } from './box.ts'

// Super-packets from the host's stack through the whole system to the server's and back. What arrives at either end is judged frame by
// frame, in the form a wire would carry: the devices before them finish what they let go, as plain network cards would.

describeLab('super-packets through bridge and terminator', () => {
  let rig: Rig
  let address: string
  let echoes = 0
  beforeAll(async () => {
    rig = await Rig.build()
    await rig.start()
    await rig.page()
    await ethtool('bridge', PLACE.bridge.hostPort, WIRE_FORM)
    await ethtool('inet', 'web6', WIRE_FORM)
    for (const room of ['host', 'web6'] as const) await ethtool(room, 'eth0', ['gro', 'off'])
    const said = await rig.scene.lab.must('host', 'dig', ['+short', '+tries=1', PLACE.web6.name, 'A'])
    address = said.trim()
    expect(address).toMatch(/^198\.19\./)
  })
  afterAll(() => rig?.scene.dispose())

  test.each([
    ['download of 100 MB, checksum', 'host', 'tcp4', 'port.host.superOut'],
    ['upload of 100 MB, checksum', 'web6', 'tcp6', 'port.tap.superIn'],
  ] as const)('%s: every frame right, most of it in super-packets', async (title, room, kind, counter) => {
    const before = await counters()
    const seen = await judged(room, async () => void (await check(title).run(rig.scene)))
    expect(seen[kind]).toBeGreaterThan(50_000)
    const done = since(before, await counters())
    // Some forty segments each, where the machine lets them gather; ten are a pass through the system in bulk.
    expect(done(counter)).toBeGreaterThan(1000)
    expect(done(counter)).toBeLessThan(10_000)
    for (const lost of ['port.tap.badIn', 'port.tap.oversizedIn', 'port.host.gsoRefused', 'bridge.drop.too-big']) {
      expect([lost, done(lost)]).toEqual([lost, 0])
    }
  })

  test.each([200, 1350])('runs of datagrams of %i bytes, there and back', async (bytes) => {
    const before = await counters()
    const seen = await judged('web6', async () => {
      const program = join(ROOT, 'test/netns/programs/udp-bulk.ts')
      const echo = rig.spawn('web6', `bulk-${echoes++}`, 'udp-bulk.ts', 'serve', PLACE.web6.ip6, '5002')
      await echo.line(/^udp.ready/)
      const args = [program, 'call', address, '5002', `${bytes}`, '40']
      const told = await rig.scene.lab.must('host', process.execPath, args)
      await echo.stop()
      expect(JSON.parse(told)).toEqual({ sent: 800, back: 800, wrong: 0 })
    })
    expect(seen.udp6).toBe(800)
    const done = since(before, await counters())
    expect([done('port.tap.superIn'), done('ntm.halved'), done('bridge.drop.uncut')]).toEqual([40, 0, 0])
  })

  test('a host without any offload is served as well', async () => {
    await ethtool('host', 'eth0', WIRE_FORM)
    const before = await counters()
    await judged('web6', async () => {
      await PAGE.run(rig.scene)
      await upload('plain')
    })
    const done = since(before, await counters())
    expect(done('port.tap.superIn')).toBe(0)
    expect(done('port.tap.in')).toBeGreaterThan(50_000)
    await ethtool('host', 'eth0', ['tx', 'on', 'tso', 'on', 'gso', 'on', 'tx-udp-segmentation', 'on'])
  })

  test('ports change their MTU and the TAP goes away in the middle of an upload: it arrives, and it was told once', async () => {
    const { lab } = rig.scene
    // The lab alone carries 100 MB faster than anybody could disturb it.
    const arrived = upload('disturbed', '8M')
    for (const mtu of ['1400', '1500', '1300', '1500']) {
      await pause(700)
      lab.ip('bridge', `link set host0 mtu ${mtu}`, `link set net0 mtu ${mtu}`)
    }
    await pause(500)
    const armed = events('bridge.diverting')
    lab.ip('bridge', 'link del ntmx0')
    await until('the wire is back', () => (events('bridge.diverting') > armed ? true : null))
    await arrived
    expect(events('bridge.diverting')).toBe(armed + 1)
    expect(events('role.failed')).toBe(0)
    expect(rig.program?.alive()).toBe(true)
    await PAGE.run(rig.scene)
  })

  test('runs of datagrams that do not fit the tunnel whole are cut before it, and each goes in halves', async () => {
    const { lab } = rig.scene
    const program = join(ROOT, 'test/netns/super/udp-bulk.ts')
    lab.ip('router', 'link set up0 mtu 1300')
    lab.ip('inet', 'link set router mtu 1300')
    const round = async (): Promise<{ got: number; wrong: number; supers: number; halved: number }> => {
      const before = await counters()
      const ear = lab.spawn('web6', `hear-${echoes++}`, process.execPath, [program, 'hear', PLACE.web6.ip6, '5003'])
      await ear.line(/^udp.ready/)
      await lab.must('host', process.execPath, [program, 'send', address, '5003', '800', '1240'])
      await pause(1000)
      await ear.stop()
      const done = since(before, await counters())
      expect(done('bridge.drop.uncut')).toBe(0)
      const { got, wrong } = JSON.parse(ear.text().split('\n').at(-2) ?? '') as { got: number; wrong: number }
      return { got, wrong, supers: done('port.tap.superIn'), halved: done('ntm.halved') }
    }
    await judged('web6', async () => {
      // The smaller path has to be noticed first; what is sent until then is lost. Then 1240 bytes go whole, and 1280 in halves.
      let last = await round()
      for (let n = 1; n < 8 && last.got < 800; n++) last = await round()
      expect(last).toEqual({ got: 800, wrong: 0, supers: 20, halved: 800 })
    })
  })

  test('datagrams that must be cut into fragments are not overtaken by those that need not', async () => {
    const { lab } = rig.scene
    const program = join(ROOT, 'test/netns/programs/counted-udp.ts')
    lab.sysctl('host', { 'net.ipv4.ip_no_pmtu_disc': 1 })
    const sink = lab.spawn('web6', 'sink', process.execPath, [program, 'sink', '5004'])
    await sink.line(/listening/)
    const before = await counters()
    // Two thousand a second in bursts of some ten, each second one larger than the tunnel lets in.
    await lab.must('host', process.execPath, [program, 'source', address, '5004', '2000', '1', '1', '1400,100'])
    expect(JSON.parse(await sink.line(/"run"/))).toMatchObject({ received: 2000, disorder: 0 })
    const done = since(before, await counters())
    expect(done('port.udp.out')).toBeGreaterThanOrEqual(3000)
    await sink.stop()
  })

  /** Runs it while what arrives at the room is judged; nothing wrong may have come. */
  async function judged(room: 'host' | 'web6', run: () => Promise<void>): Promise<Verdict> {
    const verdict = await judge({ lab: rig.scene.lab, wires: [], judgedAt: [room, 'eth0'] })
    await run()
    const seen = await verdict()
    expect(seen.faults, seen.example).toEqual({})
    expect(seen.lost).toBe(0)
    return seen
  }

  async function upload(name: string, rate?: string): Promise<void> {
    const slow = rate === undefined ? [] : ['--limit-rate', rate]
    const url = `http://${PLACE.web6.name}/upload/${name}`
    await rig.scene.lab.must('host', 'curl', ['-sS', '--fail', '--max-time', '50', ...slow, '-T', bigFile(), url])
    const digest = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex')
    expect(digest(join(rig.scene.uploads, name))).toBe(digest(bigFile()))
  }

  /** What the bridge has counted; asked for by SIGUSR1, as an operator would. */
  async function counters(): Promise<Record<string, number>> {
    const lines = (): string[] =>
      (rig.program?.text() ?? '').split('\n').filter((line) => line.includes('"event":"role.counters"'))
    const before = lines().length
    rig.program?.kill('SIGUSR1')
    await until('the counters', () => (lines().length > before ? true : null))
    return JSON.parse(lines().at(-1) ?? '') as Record<string, number>
  }

  const events = (event: string): number => (rig.program?.text() ?? '').split(`"event":"${event}"`).length - 1

  const ethtool = (room: Room, link: string, settings: readonly string[]): Promise<string> =>
    rig.scene.lab.must(room, 'ethtool', ['-K', link, ...settings])
})

/** However many packet workers there are: the others' ports have their number behind the name. */
function since(before: Record<string, number>, now: Record<string, number>): (name: string) => number {
  const of = (name: string): number => (now[name] ?? 0) - (before[name] ?? 0)
  return (name) => {
    const names = ['$1.', '$11.', '$12.'].map((as) => name.replace(/^(port\.[a-z]+)\./, as))
    return [...new Set(names)].reduce((sum, each) => sum + of(each), 0)
  }
}

function check(title: string): (typeof CHECKS)[number] {
  const found = CHECKS.find((c) => c.title === title)
  if (found === undefined) throw new Error(`no check called ${title}`)
  return found
}

const WIRE_FORM = ['tx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'off', 'tx-udp-segmentation', 'off']
