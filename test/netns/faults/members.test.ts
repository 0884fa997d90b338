import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import { type Program, until } from '#lab/process.ts'
import { withSettings } from '#lab/product.ts'
import { PLACE, type Room } from '#lab/scenes/v4-host-to-v6-server.ts'
import { describeLab } from '#test/support/lab.ts'
import { type Line, linesOf, NTM, pause, Rig } from './rig.ts'

// Boxes that may not join, and a network that has nothing left to give, through the real programs.

const NAMES = Array.from({ length: 9 }, (_, i) => `name${i}`)

describeLab('members and pools', () => {
  let rig: Rig
  beforeAll(async () => {
    const records = NAMES.map((name) => `${name} AAAA ${PLACE.web6.ip6}`)
    rig = await Rig.up({ records }, ['--servers4', '198.19.7.8/29', '--nodes4', '198.18.4.0/24'])
    // The host is known and its path stands before anything is compared.
    await rig.warm()
  })
  afterAll(() => rig?.dispose())

  const token = async (name: string): Promise<string> =>
    (await rig.ntm('token', 'create', '--dir', rig.networkDir, '--name', name, '--role', 'tt')).trim()

  /** A second terminator's program, started in a web server's room with this token. */
  function box(room: Room, name: string, text: string): Program {
    const secret = rig.scene.lab.file(`${name}/token`, text, 0o600)
    const file = rig.scene.lab.file(
      `${name}/ntm.toml`,
      withSettings(readFileSync(join(ROOT, 'examples/tt.toml'), 'utf8'), {
        state: join(rig.scene.lab.dir, name, 'state'),
        'control.socket': join(rig.scene.lab.dir, `${name}.sock`),
        'log.format': 'json',
        'network.token_file': secret,
        'tt.uplink': 'eth0',
        'tt.resolvers': [PLACE.resolver.ip4],
      }),
    )
    return rig.scene.lab.spawn(room, `${name}-ntm`, process.execPath, [NTM, 'tt', '--config', file])
  }

  const told = (program: Program, event: string): Promise<Line> =>
    until(`${program.name}: ${event}`, () => linesOf(program.text()).find((l) => l.event === event) ?? null, 15_000)

  /** Starts a box that must be refused; its room and the coordinator's rows are afterwards what they were. */
  async function refused(
    name: string,
    text: string,
    check: (program: Program, mark: number) => Promise<void>,
  ): Promise<void> {
    const [machine, rows, mark] = [
      await rig.machine(['web4', 'coordinator']),
      rig.rows(['member', 'pin', 'host', 'server', 'contract']),
      rig.mark('coordinator'),
    ]
    const program = box('web4', name, text)
    try {
      await check(program, mark)
    } finally {
      await program.stop()
    }
    expect(await rig.machine(['web4', 'coordinator'])).toBe(machine)
    expect(rig.rows(['member', 'pin', 'host', 'server', 'contract'])).toBe(rows)
    expect(await rig.page()).toBe(true)
  }

  const about = (mark: number): Line[] =>
    rig.since('coordinator', mark).filter((l) => /^(enrol|control|register)/.test(l.event))

  test('a token the coordinator does not know: one line there with the reason, one at the box, nothing made', async () => {
    const text = await token('ghost')
    // As after a restored backup of the coordinator: the token is genuine, and its row is not there.
    const db = new DatabaseSync(join(rig.networkDir, 'coordinator.db'))
    db.prepare("DELETE FROM token WHERE name = 'ghost.ntm.example'").run()
    db.close()
    await refused('ghost', text, async (program, mark) => {
      await told(program, 'control.no-answer')
      await pause(2000)
      expect(about(mark).map((l) => [l.event, l['why']])).toEqual([['enrol.refused', 'unknown-token']])
      expect(linesOf(program.text()).filter((l) => l['level'] !== 'info').length).toBe(1)
    })
  })

  test('a token that another box has used: refused with the reason at both ends', async () => {
    const text = readFileSync(join(rig.scene.lab.dir, 'tt/token'), 'utf8')
    await refused('second', text, async (program, mark) => {
      expect(await told(program, 'box.refused')).toMatchObject({
        code: 'unknown-token',
        text: 'the token was used by another box',
      })
      expect(about(mark).map((l) => l.event)).toEqual(['enrol.token-reused'])
    })
  })

  test('a name that another box has: Refusal duplicate-name, one clear line at each end', async () => {
    await refused('tt1', await token('tt1'), async (program, mark) => {
      expect(await told(program, 'box.refused')).toMatchObject({
        code: 'duplicate-name',
        text: 'tt1.ntm.example belongs to another box',
      })
      expect(about(mark).map((l) => [l.event, l['name']])).toEqual([['enrol.duplicate-name', 'tt1.ntm.example']])
    })
  })

  test('keys are made at the first start: files 0600 in a directory 0700', () => {
    for (const role of ['tt', 'bridge']) {
      const state = join(rig.scene.lab.dir, role, 'state')
      expect((statSync(state).mode & 0o777).toString(8)).toBe('700')
      expect((statSync(join(state, 'box.json')).mode & 0o777).toString(8)).toBe('600')
    }
  })

  test('the pool of servers is used up: the host hears at once that there is nothing, known names go on, one line each', async () => {
    const got = []
    for (const name of NAMES) got.push(await rig.ask(`${name}.example`))
    const given = got.filter((g) => g.answers !== '')
    expect(given.length).toBeGreaterThan(2)
    expect(given.length).toBeLessThan(7)
    const over = NAMES[NAMES.length - 1] ?? ''
    const [rows, tables, mark, at] = [rig.rows(), await rig.tables(), rig.mark('coordinator'), rig.mark('bridge')]
    const last = await rig.ask(`${over}.example`)
    expect(last.answers).toBe('')
    expect(['SERVFAIL', 'NOERROR']).toContain(last.status)
    expect(last.ms).toBeLessThan(2300)
    expect(rig.since('coordinator', mark).filter((l) => l['code'] === 'pool-exhausted').length).toBeLessThanOrEqual(1)
    expect(rig.lines('coordinator').filter((l) => l['code'] === 'pool-exhausted').length).toBeGreaterThan(0)
    expect(rig.since('bridge', at).length).toBeLessThanOrEqual(1)
    expect(rig.rows()).toBe(rows)
    expect(await rig.tables()).toBe(tables)
    const again = await rig.ask(`${NAMES[0]}.example`)
    expect(again.answers).toContain('198.19.7.')
    expect(await rig.page()).toBe(true)
  })
})
