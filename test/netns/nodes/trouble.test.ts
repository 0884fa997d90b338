import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import { pause, until } from '#lab/process.ts'
import type { Role } from '#lab/programs.ts'
import { type NodesScene, nodes } from '#lab/scenes/nodes.ts'
import { describeLab } from '#test/support/lab.ts'
import { echoes, Talk } from './talks.ts'

// What goes wrong around running terminals: names of nobody, coordinator and relays that stop, die, freeze and return.
//
// alice, bob: behind symmetric NATs, always through a relay. carol, dave: behind port-restricted ones, direct.

describeLab('trouble between terminals', () => {
  let scene: NodesScene
  let failed = false
  const SITES = { alice: 'symmetric', bob: 'symmetric', carol: 'port-restricted', dave: 'port-restricted' } as const

  /** One question by a program in a room, without a second try. */
  const ask = async (room: string, name: string): Promise<{ status: string; ms: number }> => {
    const args = ['+tries=1', '+time=5', `${name}.${scene.zone}`]
    const { stdout, ms } = await scene.lab.run(room, 'dig', args)
    return { status: /status: (\w+)/.exec(stdout)?.[1] ?? 'nothing', ms }
  }
  const answered = (room: string, name: string, limitMs = 20_000): Promise<true> =>
    until(`${name} is answered`, async () => ((await ask(room, name)).status === 'NOERROR' ? true : null), limitMs)
  const kill = async (room: string): Promise<void> => {
    const program = scene.programs.running.get(room)
    program?.kill('SIGKILL')
    await program?.exited
  }
  /** The same program again, on its disk. */
  const again = (room: string, role: Role) => scene.programs.run(room, role, join(scene.lab.dir, `${room}/ntm.toml`))
  /** Which relay the path from one terminal to another goes through now. */
  const relayOf = async (from: string, to: string): Promise<string> => {
    const path = (await scene.status(from)).paths.find((p) => p.peer === `${to}.${scene.zone}` && p.state === 'open')
    const at = path?.at ?? ''
    return (
      ['relay1', 'relay2'].find(
        (room) => at.includes(`${scene.at[room]?.ip4}:`) || at.includes(`[${scene.at[room]?.ip6}]`),
      ) ?? at
    )
  }
  const through = (relay: string): Promise<true> =>
    until(
      `through ${relay}`,
      async () =>
        `${await relayOf('alice', 'bob')} ${await relayOf('bob', 'alice')}` === `${relay} ${relay}` ? true : null,
      20_000,
      200,
    )
  const otherThan = (relay: string): string => (relay === 'relay1' ? 'relay2' : 'relay1')

  beforeAll(async () => {
    scene = await nodes({ relays: 2 })
    for (const [room, kind] of Object.entries(SITES)) scene.machine(room, await scene.site(`s${room}`, kind))
    for (const room of ['alice', 'bob', 'carol', 'dave']) await scene.node(room)
    await echoes(scene, 'bob', 'dave')
  }, 120_000)
  afterEach(({ task }) => {
    failed ||= task.result?.state === 'fail'
  })
  afterAll(() => {
    if (failed && scene !== undefined) process.stderr.write(`logs: ${scene.lab.keepLogs('failed-trouble')}\n`)
    scene?.dispose()
  })

  test('a name of nobody is NXDOMAIN at once; of a terminal that is switched off, SERVFAIL within 2 s', async () => {
    const nobody = await ask('alice', 'nobody')
    expect(nobody).toMatchObject({ status: 'NXDOMAIN' })
    expect(nobody.ms).toBeLessThan(1000)
    await kill('dave')
    const absent = await ask('alice', 'dave')
    expect(absent).toMatchObject({ status: 'SERVFAIL' })
    expect(absent.ms).toBeLessThan(2500)
    await again('dave', 'node')
    await answered('alice', 'dave')
  })

  test('the relay in use is killed in the middle of a transfer: it goes on through the other one, byte for byte', async () => {
    const talk = await Talk.between(scene, 'alice', 'bob')
    const used = await relayOf('alice', 'bob')
    const serve = scene.lab.spawn('bob', 'counted', process.execPath, [COUNTED, 'serve', '7100'])
    await serve.line(/listening/)
    // Over three seconds, so that it is under way when the relay dies, on the fastest machine too.
    const args = [COUNTED, 'send', `bob.${scene.zone}`, '7100', '80000000', '3']
    const send = scene.lab.run('alice', process.execPath, args)
    await pause(1000)
    await kill(used)
    const told = JSON.parse((await send).stdout) as { bytes: number; digest: string }
    const got = JSON.parse(await serve.line(/digest/, 30_000)) as typeof told
    expect(got).toEqual(told)
    await through(otherThan(used))
    expect(talk.whole).toBe(true)
    await talk.stop()
  })

  test('the relay is back, and the other one dies: legs are made anew at the first', async () => {
    const talk = await Talk.between(scene, 'alice', 'bob', 'legs')
    const used = await relayOf('alice', 'bob')
    await again(otherThan(used), 'relay')
    await pause(1000)
    await kill(used)
    await through(otherThan(used))
    await talk.goesOn()
    expect(talk.whole).toBe(true)
    await again(used, 'relay')
    await talk.stop()
  })

  test('the same relay is killed and started again at once: the path lives on', async () => {
    const talk = await Talk.between(scene, 'alice', 'bob', 'again')
    const used = await relayOf('alice', 'bob')
    await kill(used)
    await again(used, 'relay')
    await talk.goesOn(20_000)
    expect(talk.whole).toBe(true)
    await talk.stop()
  })

  test('no relay at all: behind cone NATs paths are opened directly; behind others the name is SERVFAIL in time, until relays are back', async () => {
    for (const relay of ['relay1', 'relay2']) await kill(relay)
    await kill('bob')
    await again('bob', 'node')
    expect(await scene.reaches('carol', 'dave')).toBe(true)
    expect(await scene.way('carol', 'dave')).toBe('direct')
    const refused = await ask('carol', 'bob')
    expect(refused).toMatchObject({ status: 'SERVFAIL' })
    expect(refused.ms).toBeLessThan(2500)
    for (const relay of ['relay1', 'relay2']) await again(relay, 'relay')
    await until('alice reaches bob', async () => ((await scene.reaches('alice', 'bob')) ? true : null), 40_000)
    await echoes(scene, 'bob')
  })

  test('a terminal freezes for 8 s and thaws: the conversation goes on, and others notice nothing', async () => {
    const talk = await Talk.between(scene, 'alice', 'bob', 'frozen')
    const other = await Talk.between(scene, 'carol', 'dave', 'beside')
    scene.programs.running.get('bob')?.kill('SIGSTOP')
    expect(await other.gapDuring(8000)).toBeLessThan(1000)
    scene.programs.running.get('bob')?.kill('SIGCONT')
    await talk.goesOn()
    expect([talk.whole, other.whole]).toEqual([true, true])
    await Promise.all([talk.stop(), other.stop()])
  })

  test('the coordinator is stopped: new names are SERVFAIL in time, what runs does not notice; it is back: all by itself', async () => {
    const talks = [
      await Talk.between(scene, 'alice', 'bob', 'without'),
      await Talk.between(scene, 'carol', 'dave', 'without2'),
    ]
    await scene.programs.running.get('coordinator')?.stop()
    const gaps = Promise.all(talks.map((t) => t.gapDuring(15_000)))
    await pause(500)
    const asked = await ask('alice', 'carol')
    expect(asked).toMatchObject({ status: 'SERVFAIL' })
    expect(asked.ms).toBeLessThan(2500)
    for (const gap of await gaps) expect(gap).toBeLessThan(500)
    const { troubles } = await scene.status('alice')
    const about = troubles.find((t) => t.about === `carol.${scene.zone}`)
    expect(about?.what).toBe('timeout: no answer from the coordinator in time')
    await again('coordinator', 'coordinator')
    await answered('alice', 'carol', 60_000)
    expect(await scene.reaches('alice', 'carol')).toBe(true)
    // Long enough for every leg to have been refreshed since the coordinator went.
    expect(Math.max(...(await Promise.all(talks.map((t) => t.gapDuring(8000)))))).toBeLessThan(500)
    expect(talks.map((t) => t.whole)).toEqual([true, true])
    await Promise.all(talks.map((t) => t.stop()))
  })

  test('the coordinator is killed and started again: it knows the paths that stand, and mends them when their relay dies', async () => {
    const talk = await Talk.between(scene, 'alice', 'bob', 'killed')
    await kill('coordinator')
    await again('coordinator', 'coordinator')
    await until(
      'alice is registered again',
      async () => ((await scene.status('alice')).coordinator.state === 'registered' ? true : null),
      60_000,
    )
    await until(
      'bob is registered again',
      async () => ((await scene.status('bob')).coordinator.state === 'registered' ? true : null),
      60_000,
    )
    expect(talk.whole).toBe(true)
    const used = await relayOf('alice', 'bob')
    await kill(used)
    await through(otherThan(used))
    await talk.goesOn()
    expect(talk.whole).toBe(true)
    await again(used, 'relay')
    await talk.stop()
  })
})

const COUNTED = join(ROOT, 'test/netns/programs/counted-tcp.ts')
