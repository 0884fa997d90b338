import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import { type Program, pause } from '#lab/process.ts'
import { PLACE } from '#lab/scenes/v4-host-to-v6-server.ts'
import { describeLab } from '#test/support/lab.ts'
import { Rig, wall } from './box.ts'
import { isPrompt, lagOf, type Query, queriesOf } from './streams.ts'

// The box's two threads, blocked one after the other while datagrams go through a tunnel and back and names are asked: ordinary ones, new
// each time, so that the bridge asks beside them, and one that is answered with a virtual address.

type Second = {
  readonly t: number
  readonly sent: number
  readonly back: number
  readonly twice: number
  readonly slowestMs: number
}

/** Between two names asked, ms. */
const PERIOD = 25

describeLab('a thread is blocked', () => {
  let rig: Rig
  let bridge: Program
  let tt: Program
  let ping: Program
  let names: Program
  beforeAll(async () => {
    rig = await Rig.build({ records: ['*.many A 192.0.2.44'] }, ['coordinator'])
    // The first start enrols; from then on programs with a hand on their threads take their places.
    tt = await blockable('tt', await rig.product.tt())
    bridge = await blockable('bridge', await rig.start())
    rig.program = bridge
    await rig.page()
    ping = rig.spawn('host', 'ping', 'udp-ping.ts', PLACE.web6.name, `${PLACE.udpPort}`, '5')
    names = rig.spawn('host', 'names', 'dns-stream.ts', `${PERIOD}`, 'a*.many.example', PLACE.web6.name)
    await Promise.all([ping.line(/ready/), names.line(/^\{/)])
    await pause(1000)
  })
  afterAll(() => rig?.scene.dispose())

  test('the control threads of bridge and terminator, for 1.2 s: no datagram is lost or late, and no name waits', async () => {
    const before = wall()
    const times = await Promise.all(
      [bridge, tt].map(async (program) => {
        program.kill('SIGUSR2')
        return JSON.parse(await program.line(/"blocked":"control"/)) as { from: number; to: number }
      }),
    )
    await pause(4000)
    for (const { from, to } of times) expect(to - from).toBeGreaterThan(1190)
    const [from, to] = [Math.min(...times.map((t) => t.from)), Math.max(...times.map((t) => t.to))]
    const seen = seconds(before - 1000, to + 1000)
    say(`both controls blocked for ${Math.round(to - from)} ms: ${JSON.stringify(seen.map(({ t: _, ...s }) => s))}`)
    expect(seen.length).toBeGreaterThanOrEqual(2)
    for (const { sent, back, twice, slowestMs } of seen) {
      expect({ lost: sent - back, twice }).toEqual({ lost: 0, twice: 0 })
      // The machine may be busy; a packet that waited for the thread would have waited longer than this.
      expect(slowestMs).toBeLessThan(500)
      expect(sent).toBeGreaterThan(50)
    }
    const asked = during(from - 200, to + 200)
    expect(asked.length).toBeGreaterThan(30)
    expect(asked.filter((q) => !isPrompt(q) || q.answers.length !== 1)).toEqual([])
    const tunnelled = asked.filter((q) => q.name === PLACE.web6.name).flatMap((q) => q.answers[0]?.ips ?? [])
    expect(tunnelled.length).toBeGreaterThan(10)
    expect(tunnelled.every((ip) => ip.startsWith('198.19.'))).toBe(true)
  })

  test('the same, frozen as a whole: the measure sees it', async () => {
    const before = wall()
    rig.freeze()
    await pause(1200)
    rig.thaw()
    const after = wall()
    await pause(4000)
    expect(Math.max(...seconds(before - 1000, after + 1000).map((s) => s.slowestMs))).toBeGreaterThan(1000)
    expect(during(before, before + 600).filter(isPrompt)).toEqual([])
  })

  test('the packet worker, for 6.5 s: ordinary names pass by after 3.5 s at the latest, and all is well when it is back', async () => {
    bridge.kill('SIGWINCH')
    const { from, ms } = JSON.parse(await bridge.line(/"blocked":"worker"/)) as { from: number; ms: number }
    const back = from + ms
    await bridge.line(/"event":"bridge\.reader-silent"/, 10_000)
    await bridge.line(/"event":"bridge\.reader-back"/, 20_000)
    // Whatever waits for the worker has no answer before it is back.
    const lag = lagOf(during(from, back), PERIOD)
    const passedBy = during(from + 3500 + lag, back - 1000).filter((q) => q.name !== PLACE.web6.name)
    say(
      `worker blocked for ${ms} ms: ${passedBy.length} ordinary names passed by, the machine late by ${Math.round(lag)} ms`,
    )
    expect(passedBy.length).toBeGreaterThan(25)
    expect(passedBy.filter((q) => (q.answers[0]?.t ?? Number.POSITIVE_INFINITY) >= back)).toEqual([])
    // Back in its place: the name that only a tunnel can serve.
    const tunnelled = (): Query[] => during(back + 1500 + lag, wall() - 2500).filter((q) => q.name === PLACE.web6.name)
    await expect.poll(() => tunnelled().length, { timeout: 20_000 }).toBeGreaterThan(10)
    expect(tunnelled().filter((q) => !q.answers[0]?.ips[0]?.startsWith('198.19.'))).toEqual([])
    expect(await rig.page()).toBe(`This is the page of ${PLACE.web6.name}.\n`)
    expect(bridge.alive()).toBe(true)
  })

  test('the packet worker, for good: the program ends at once, names pass by, and only the guard is left', async () => {
    const before = wall()
    bridge.kill('SIGURG')
    expect(await bridge.exited).toBe(1)
    const ended = wall()
    say(`worker dead: the program ended within ${Math.round(ended - before)} ms`)
    expect(bridge.text()).toMatch(/ntm-packets.* ended by itself.*"event":"role\.failed"/)
    const tables = await rig.scene.lab.must('bridge', 'nft', ['list', 'tables'])
    expect(tables).toContain('ntm_guard')
    expect(tables).not.toContain('ntm_divert')
    await pause(1500)
    const after = during(ended, wall() - 600).filter((q) => q.name !== PLACE.web6.name)
    expect(after.length).toBeGreaterThan(10)
    expect(after.filter((q) => !isPrompt(q))).toEqual([])
  })

  async function blockable(role: 'bridge' | 'tt', enrolled: Program): Promise<Program> {
    await enrolled.stop(10_000)
    const { lab } = rig.scene
    const program = lab.spawn(role, `${role}-blockable`, process.execPath, [
      join(ROOT, 'test/netns/programs/blockable.ts'),
      ...[role, '--config', join(lab.dir, role, 'ntm.toml')],
    ])
    await program.line(/"event":"role\.ready"/, 20_000)
    return program
  }

  /** What became of the datagrams of each second within these times. */
  const seconds = (from: number, to: number): Second[] =>
    ping
      .text()
      .split('\n')
      .filter((line) => line.startsWith('{"t"'))
      .map((line) => JSON.parse(line) as Second)
      .filter((s) => s.t - 1000 >= from - 1000 && s.t <= to + 1000)

  const during = (from: number, to: number): Query[] =>
    queriesOf(names).all.filter((q) => q.asked >= from && q.asked <= to)
})

const say = (text: string): void => void process.stdout.write(`  ${text}\n`)
