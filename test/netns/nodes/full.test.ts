import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { until } from '#lab/process.ts'
import { type NodesScene, nodes } from '#lab/scenes/nodes.ts'
import { describeLab } from '#test/support/lab.ts'
import { echoes, Talk } from './talks.ts'

// Two relays with room for one path each, and terminals that cannot do without.

describeLab('relays that are full', () => {
  let scene: NodesScene
  let failed = false
  const ROOMS = ['alice', 'bob', 'carol', 'dave', 'erin', 'frank'] as const
  beforeAll(async () => {
    // With `ice` two NATs are tried without any relay: nothing would be refused, it would only take its time.
    scene = await nodes({ relays: 0, coordinator: { 'route.optimise': 'seed' } })
    for (const relay of ['relay1', 'relay2']) {
      await scene.net.server(relay)
      await scene.programs.box(relay, 'relay', relay, { 'relay.most_paths': 1 })
    }
    for (const room of ROOMS) scene.machine(room, await scene.site(`s${room}`, 'symmetric'))
    for (const room of ROOMS) await scene.node(room)
    await echoes(scene, 'bob', 'dave', 'frank')
  }, 120_000)
  afterEach(({ task }) => {
    failed ||= task.result?.state === 'fail'
  })
  afterAll(() => {
    if (failed && scene !== undefined) process.stderr.write(`logs: ${scene.lab.keepLogs('failed-full')}\n`)
    scene?.dispose()
  })
  const log = (): string => scene.programs.running.get('coordinator')?.text() ?? ''

  test('a second pair is sent to the next relay, a third is told that there is no route, and nobody loses anything', async () => {
    // At once, so that no relay has told yet how full it is.
    const pairs = [
      ['alice', 'bob'],
      ['carol', 'dave'],
    ] as const
    const talks = await Promise.all(pairs.map(([from, to]) => Talk.between(scene, from, to)))
    const at = await Promise.all(
      pairs.map(async ([from]) => (await scene.status(from)).paths.find((p) => p.state === 'open')?.at),
    )
    expect(new Set(at).size).toBe(2)
    const { stdout, ms } = await scene.lab.run('erin', 'dig', ['+tries=1', '+time=5', `frank.${scene.zone}`])
    expect(stdout).toContain('status: SERVFAIL')
    expect(ms).toBeLessThan(2500)
    // Said where somebody would look: at the coordinator, and at the terminal that asked.
    await until('the relays have refused', () => (/"event":"relay.refused"/.test(log()) ? true : null), 5000)
    expect(log()).toMatch(/relay-full/)
    // One after the other was asked before it was said that there is none.
    const refused = log().matchAll(/"relay":"(\w+)","code":"relay-full"/g)
    expect(new Set([...refused].map(([, relay]) => relay)).size).toBe(2)
    const trouble = (await scene.status('erin')).troubles.find((t) => t.about === `frank.${scene.zone}`)
    expect(trouble?.what).toMatch(/^no-route: /)
    expect(scene.programs.running.get('erin')?.text()).toMatch(/"code":"no-route"/)
    expect(Math.max(...(await Promise.all(talks.map((t) => t.gapDuring(1500)))))).toBeLessThan(500)
    expect(talks.map((t) => t.whole)).toEqual([true, true])
    await Promise.all(talks.map((t) => t.stop()))
  })

  test('the path of a member that is shut out makes room at once', async () => {
    await scene.programs.ntm('coordinator', ['member', 'revoke', '--dir', scene.programs.networkDir, '--name', 'alice'])
    await until(
      'erin reaches frank',
      async () => ((await scene.reaches('erin', 'frank', 1)) ? true : null),
      10_000,
      500,
    )
  })
})
