import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { pause, until } from '#lab/process.ts'
import { type NodesScene, nodes } from '#lab/scenes/nodes.ts'
import { describeLab } from '#test/support/lab.ts'
import { echoes, Talk } from './talks.ts'

// Attack 12 on real kernels: mallory speaks with gina directly, with bob through a relay, and with an ordinary server through the terminator.

describeLab('a membership is withdrawn', () => {
  let scene: NodesScene
  let failed = false
  const SITES = { mallory: 'symmetric', bob: 'symmetric', gina: 'none' } as const
  const say = (room: string): string => scene.programs.running.get(room)?.text() ?? ''
  const times = (text: string, what: RegExp): number => text.split('\n').filter((l) => what.test(l)).length
  beforeAll(async () => {
    scene = await nodes({ servers: true })
    for (const [room, kind] of Object.entries(SITES)) scene.machine(room, await scene.site(`s${room}`, kind))
    for (const room of Object.keys(SITES)) await scene.node(room, room === 'mallory' ? { 'node.servers': 'tt' } : {})
    await echoes(scene, 'bob', 'gina', 'web')
  }, 120_000)
  afterEach(({ task }) => {
    failed ||= task.result?.state === 'fail'
  })
  afterAll(() => {
    if (failed && scene !== undefined) process.stderr.write(`logs: ${scene.lab.keepLogs('failed-revoked')}\n`)
    scene?.dispose()
  })

  test('direct, relayed and through a terminator: all has stopped after 2 s; it is told once; others notice nothing', async () => {
    const hers = [
      await Talk.between(scene, 'mallory', 'gina'),
      await Talk.between(scene, 'mallory', 'bob'),
      await Talk.between(scene, 'mallory', 'web.example'),
    ]
    const other = await Talk.between(scene, 'bob', 'gina')
    expect([await scene.way('mallory', 'gina'), await scene.way('mallory', 'bob')]).toEqual(['direct', 'relay'])
    const before = await Promise.all(hers.map((t) => t.heardDuring(500)))
    expect(Math.min(...before)).toBeGreaterThan(10)

    await scene.programs.ntm('coordinator', [
      'member',
      'revoke',
      '--dir',
      scene.programs.networkDir,
      '--name',
      'mallory',
    ])
    const calm = other.gapDuring(4000)
    await pause(2000)
    expect(await Promise.all(hers.map((t) => t.heardDuring(1500)))).toEqual([0, 0, 0])
    expect(await calm).toBeLessThan(500)
    expect(other.whole).toBe(true)
    await Promise.all([...hers, other].map((t) => t.stop()))
    await until('mallory was told', () => (/revoked/.test(say('mallory')) ? true : null))
  })

  test('it does not come back: not by itself, not after a restart; nobody finds it, and it finds nobody', async () => {
    scene.programs.running.get('mallory')?.kill('SIGKILL')
    const program = scene.lab.spawn('mallory', 'mallory-again', process.execPath, [
      ...[
        join(import.meta.dirname, '../../../src/cli/ntm.ts'),
        'up',
        '--config',
        join(scene.lab.dir, 'mallory/ntm.toml'),
      ],
    ])
    // To strangers the coordinator says nothing.
    await program.line(/"event":"control.no-answer"/, 20_000)
    expect(times(program.text(), /"event":"box.registered"/)).toBe(0)
    const { stdout } = await scene.lab.run('bob', 'dig', ['+tries=1', '+time=5', `mallory.${scene.zone}`])
    expect(stdout).toContain('status: NXDOMAIN')
    expect(await scene.reaches('mallory', 'gina')).toBe(false)
    expect(times(say('coordinator'), /"event":"member.revoked"/)).toBe(1)
    expect(times(say('coordinator'), /"event":"control.not-admitted"/)).toBeLessThanOrEqual(1)
    // Everybody else is as they were.
    expect(await scene.reaches('bob', 'gina')).toBe(true)
  })
})
