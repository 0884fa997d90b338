import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import { type Program, until } from '#lab/process.ts'
import type { Role } from '#lab/programs.ts'
import { type NodesScene, nodes } from '#lab/scenes/nodes.ts'
import { describeLab } from '#test/support/lab.ts'
import { caughtIn } from '../faults/pcap.ts'
import { echoes, Talk } from './talks.ts'

// alice ── symmetric NAT ──┬── relay1 ── symmetric NAT ── bob
//                          ├── gina, on the open Internet: direct
// eve, with everything that ever came to any of them ──┘

type Told = { sent: number; sentBytes: number; answered: number; answeredBytes: number }

describeLab('strangers who have seen everything', () => {
  let scene: NodesScene
  let failed = false
  const ears = new Map<string, Program>()
  const NODES = ['alice', 'bob', 'gina'] as const
  const pcap = (room: string): string => join(scene.lab.dir, `${room}.pcap`)
  const eve = async (...args: readonly string[]): Promise<Told> =>
    JSON.parse(await scene.lab.must('eve', process.execPath, [EVE, ...args])) as Told
  const program = (room: string): Program => {
    const found = scene.programs.running.get(room)
    if (found === undefined) throw new Error(`nothing runs in ${room}`)
    return found
  }
  const restart = async (room: string, role: Role, home = room): Promise<void> => {
    program(room).kill('SIGKILL')
    await program(room).exited
    await scene.programs.run(room, role, join(scene.lab.dir, `${home}/ntm.toml`))
  }
  const counters = async (room: string): Promise<Readonly<Record<string, number>>> => {
    const mark = program(room).text().length
    program(room).kill('SIGUSR1')
    return until(`${room} tells its counters`, () => {
      const line = program(room)
        .text()
        .slice(mark)
        .split('\n')
        .find((l) => l.includes('"role.counters"') && l.endsWith('}'))
      return line === undefined ? null : (JSON.parse(line) as Record<string, number>)
    })
  }
  /** What no stranger may change: paths and where they lead, what the coordinator keeps, and whom it has seen come. */
  const picture = async (): Promise<string> => {
    // A path that an end has lost by its restart is still in the other's list for a while.
    const all = await Promise.all(
      NODES.map(async (room) => (await scene.status(room)).paths.map((p) => `${[room, p.peer, p.state, p.way, p.at]}`)),
    )
    const paths = [...new Set(all.flat())].filter((p) => p.includes(',open,')).toSorted()
    const db = new DatabaseSync(join(scene.programs.networkDir, 'coordinator.db'), { readOnly: true })
    const bytes = (_: string, v: unknown): unknown => (v instanceof Uint8Array ? Buffer.from(v).toString('hex') : v)
    try {
      const rows = ['member', 'pin', 'host', 'contract', 'token'].map((t) =>
        db.prepare(`SELECT * FROM ${t} ORDER BY 1, 2`).all(),
      )
      const came = program('coordinator')
        .text()
        .split('\n')
        .filter((l) => /"event":"(node|enrol|relay)\./.test(l)).length
      return JSON.stringify([paths, rows, came], bytes, 1)
    } finally {
      db.close()
    }
  }

  beforeAll(async () => {
    scene = await nodes({ coordinator: { 'route.optimise': 'seed' } })
    for (const [room, kind] of [
      ['alice', 'symmetric'],
      ['bob', 'symmetric'],
      ['gina', 'none'],
      ['eve', 'none'],
    ] as const)
      scene.machine(room, await scene.site(`s${room}`, kind))
    // At every place, what comes to it.
    for (const [room, link] of [
      ['coordinator', 'eth0'],
      ['relay1', 'eth0'],
      ['gina', 'eth0'],
      ['salice', 'wan'],
      ['sbob', 'wan'],
    ] as const) {
      const options = ['-i', link, '-Q', 'in', '-U', '--immediate-mode', '-Z', 'root', '-w', pcap(room), 'udp']
      const ear = scene.lab.spawn(room, `${room}-ear`, 'tcpdump', options)
      await ear.line(/listening on/)
      ears.set(room, ear)
    }
    for (const room of NODES) await scene.node(room)
    await echoes(scene, 'bob', 'gina')
    const talks = [await Talk.between(scene, 'alice', 'bob', 'one'), await Talk.between(scene, 'alice', 'gina', 'two')]
    await Promise.all(talks.map((t) => t.stop()))
    expect([await scene.way('alice', 'bob'), await scene.way('alice', 'gina')]).toEqual(['relay', 'direct'])
  }, 120_000)
  afterEach(({ task }) => {
    failed ||= task.result?.state === 'fail'
  })
  afterAll(() => {
    if (failed && scene !== undefined) process.stderr.write(`logs: ${scene.lab.keepLogs('failed-attacks')}\n`)
    scene?.dispose()
  })

  const RESTARTS: readonly (readonly [string, () => Promise<void>])[] = [
    ['while all runs', async () => {}],
    [
      'after both ends have started anew',
      async () => {
        await restart('alice', 'node')
        await restart('gina', 'node')
      },
    ],
    ['after the relay has started anew', () => restart('relay1', 'relay')],
    [
      'after the coordinator has started anew',
      async () => {
        const mark = program('coordinator').text().length
        await restart('coordinator', 'coordinator')
        // The three of them and the relay.
        await until(
          'all are back',
          () => (program('coordinator').text().slice(mark).split('"node.registered"').length === 5 ? true : null),
          60_000,
        )
      },
    ],
  ]
  test.each(RESTARTS)(
    'attack 2: everything captured, replayed from another address %s, changes nothing',
    async (_, before) => {
      await before()
      const talks = [
        await Talk.between(scene, 'alice', 'bob', `bob-${_.length}`),
        await Talk.between(scene, 'alice', 'gina', `gina-${_.length}`),
      ]
      const was = await picture()
      const told = await eve('replay', ...[...ears.keys()].map(pcap))
      expect(told.sent).toBeGreaterThan(300)
      expect(told.answeredBytes).toBeLessThan(told.sentBytes)
      expect(await picture()).toBe(was)
      expect(Math.max(...(await Promise.all(talks.map((t) => t.gapDuring(1000)))))).toBeLessThan(500)
      expect(talks.map((t) => t.whole)).toEqual([true, true])
      await Promise.all(talks.map((t) => t.stop()))
    },
  )

  test.each(['direct', 'in the relay’s name'])(
    'attack 4: forged requests on known Path IDs at full rate, %s: none gets past the first tag, the tunnels live',
    async (way) => {
      const talks = [
        await Talk.between(scene, 'alice', 'bob', `forged-bob-${way.length}`),
        await Talk.between(scene, 'alice', 'gina', `forged-gina-${way.length}`),
      ]
      const relay = scene.at['relay1']?.ip4 ?? ''
      // Through the relay: to alice's NAT at the port that faces it, with the relay's address.
      const faced = [...caughtIn(readFileSync(pcap('salice')))].findLast((c) => c.from === relay && c.bytes[0] === 0x14)
      expect(faced).toBeDefined()
      const at =
        (await scene.lab.must('gina', 'ip', ['-o', '-4', 'addr', 'show', 'dev', 'eth0'])).match(/inet ([\d.]+)/)?.[1] ??
        ''
      if (way !== 'direct') scene.lab.ip('eve', `addr add ${relay}/32 dev lo`)
      const target = way === 'direct' ? 'gina' : 'alice'
      const before = await counters(target)
      const opened = (): number =>
        NODES.flatMap((room) => program(room).text().split('\n')).filter((l) => l.includes('"tunnel.opened"')).length
      const was = opened()
      const calm = Promise.all(talks.map((t) => t.gapDuring(3500)))
      const told = await (way === 'direct'
        ? eve('forge', pcap('gina'), at, '4330', '0.0.0.0', '0', '3')
        : eve('forge', pcap('salice'), faced?.to ?? '', `${faced?.port}`, relay, '4330', '3'))
      const after = await counters(target)
      expect(told.sent).toBeGreaterThan(10_000)
      expect(told.answeredBytes).toBe(0)
      // Refused by the first tag, which costs no Diffie-Hellman, or before that, or by the kernel's full queue.
      const rose = (name: string): number => (after[name] ?? 0) - (before[name] ?? 0)
      expect(rose('ntm.drop.bad-tag')).toBeGreaterThan(1000)
      expect(opened()).toBe(was)
      for (const gap of await calm) expect(gap).toBeLessThan(1000)
      expect(talks.map((t) => t.whole)).toEqual([true, true])
      await Promise.all(talks.map((t) => t.stop()))
    },
  )
})

const EVE = join(ROOT, 'test/netns/nodes/eve.ts')
