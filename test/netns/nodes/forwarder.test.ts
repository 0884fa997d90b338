import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import { until } from '#lab/process.ts'
import { type NodesScene, nodes } from '#lab/scenes/nodes.ts'
import { describeLab } from '#test/support/lab.ts'

// alice ── [ NAT and, in the same room, eve ] ──── 10 ms each way ──── inet ── gina
//                                       └────── eve's own line, quicker ──┘

describeLab('attack 9 on real kernels', () => {
  let scene: NodesScene
  let failed = false
  beforeAll(async () => {
    scene = await nodes({ coordinator: { 'route.optimise': 'seed' } })
    const { lab } = scene
    scene.machine('alice', await scene.site('salice', 'symmetric', { weather: { delayMs: 10 } }))
    scene.machine('gina', await scene.site('sgina', 'v4-only'))
    lab.cable(['salice', 'fast'], ['inet', 'fast'])
    lab.ip('inet', 'addr add 20.9.9.1/24 dev fast')
    lab.ip(
      'salice',
      'addr add 20.9.9.2/24 dev fast',
      'route add default via 20.9.9.1 dev fast table 99',
      'rule add from 20.9.9.2 lookup 99',
    )
    for (const room of ['alice', 'gina']) await scene.node(room)
    // What comes down is ten times what goes up: three times his own would soon be passed.
    await lab.spawn('gina', 'stream', process.execPath, [STREAM, 'serve', '::', '7200']).line(/ready/)
  }, 120_000)
  afterEach(({ task }) => {
    failed ||= task.result?.state === 'fail'
  })
  afterAll(() => {
    if (failed && scene !== undefined) process.stderr.write(`logs: ${scene.lab.keepLogs('failed-forwarder')}\n`)
    scene?.dispose()
  })

  test('attack 9: whose copies are quicker gets no more than three times what he sent, and nothing a round trip after he stops', async () => {
    const [vip] = (await scene.lab.must('alice', 'getent', ['ahostsv4', `gina.${scene.zone}`])).split(' ')
    const hear = scene.lab.spawn('alice', 'hear', process.execPath, [STREAM, 'hear', `${vip}`, '7200'])
    const chunks = (): number => Number(/"chunks":(\d+)/.exec(hear.text().split('\n').at(-2) ?? '')?.[1] ?? 0)
    await until('the stream', () => (chunks() > 50 ? true : null))
    const alice = scene.net.sites.get('salice')?.outside4 ?? ''
    const at = async (): Promise<string> => (await scene.status('gina')).paths.find((p) => p.state === 'open')?.at ?? ''
    expect(await at()).toContain(`${alice}:`)
    const shown = await scene.lab.must('gina', 'ip', ['-o', '-4', 'addr', 'show', 'dev', 'eth0'])
    const gina = /inet ([\d.]+)/.exec(shown)?.[1] ?? ''
    const told = JSON.parse(
      await scene.lab.must('salice', process.execPath, [FORWARDER, 'wan', '20.9.9.2', gina, '4330', '3']),
    ) as { sent: number; sentBytes: number; got: number; gotBytes: number; lateMs: number }
    expect(told.sent).toBeGreaterThan(50)
    // He was quicker: something came to him.
    expect(told.got).toBeGreaterThan(0)
    expect(told.gotBytes).toBeLessThanOrEqual(3 * told.sentBytes)
    // A round trip, a beat of the conversation, and what two busy kernels need.
    expect(told.lateMs).toBeLessThan(20 + 20 + 60)
    await until('the path as it was', async () => ((await at()).startsWith(`${alice}:`) ? true : null), 5000)
    const before = chunks()
    await until('the stream goes on', () => (chunks() > before + 200 ? true : null), 10_000)
    expect(hear.alive()).toBe(true)
    await hear.stop()
  })
})

const STREAM = join(ROOT, 'test/netns/programs/tcp-stream.ts')
const FORWARDER = join(ROOT, 'test/netns/nodes/forwarder.ts')
