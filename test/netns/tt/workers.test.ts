import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CHECKS, PAGE } from '#lab/checks.ts'
import { ROOT } from '#lab/netns.ts'
import { type Program, until } from '#lab/process.ts'
import { PLACE } from '#lab/scenes/v4-host-to-v6-server.ts'
import { describeLab } from '#test/support/lab.ts'
import { judge } from '../super/scene.ts'
import { Rig } from '../wire/box.ts'

// The whole system with the terminator's packets shared out among two and three workers: all that one worker does. The tunnel is opened by a
// worker that does not hold the flows, so that every packet is a follower's.

const BYTES = 20_000_000
const STREAMS = 8
const program = (name: string): string => join(ROOT, 'test/netns', name)

for (const workers of [2, 3]) {
  describeLab(`the terminator with ${workers} packet workers`, () => {
    let rig: Rig
    let tt: Program
    let address: string
    const ports = (done: (name: string) => number, port: string): number[] =>
      Array.from({ length: workers }, (_, i) => done(`port.${port.replace('#', i === 0 ? '' : String(i))}`))
    const followers = (counts: readonly number[]): number => counts.slice(1).reduce((a, b) => a + b, 0)

    beforeAll(async () => {
      rig = await Rig.build({}, ['coordinator'])
      tt = await rig.product.tt({ 'packets.workers': workers })
      await rig.start()
      // The last byte of the Path ID is drawn: sooner or later it is not the lead's.
      for (let n = 0; n < 20; n++) {
        const before = await counters()
        await rig.page()
        const opened = ports(since(before, await counters()), 'udp#.in')
        if (followers(opened) > (opened[0] ?? 0)) break
        await rig.program?.stop(10_000)
        await rig.start()
      }
      address = (await rig.scene.lab.must('host', 'dig', ['+short', '+tries=1', PLACE.web6.name, 'A'])).trim()
      expect(address).toMatch(/^198\.19\./)
    }, 120_000)
    afterAll(() => rig?.scene.dispose())

    for (const check of [PAGE, ...CHECKS]) {
      test(check.title, async () => {
        expect(await check.run(rig.scene)).not.toBe('')
      })
    }

    test('eight streams of TCP, both ways at once, every byte compared; the followers carry them', async () => {
      const before = await counters()
      await Promise.all(Array.from({ length: STREAMS }, (_, i) => exchange(5010 + i)))
      const done = since(before, await counters())
      const [out, back] = [ports(done, 'edge#.out'), ports(done, 'edge#.in')]
      expect(followers(out), `${out}`).toBeGreaterThan(10 * (out[0] ?? 0))
      expect(followers(back), `${back}`).toBeGreaterThan(5 * (back[0] ?? 0))
      expect(done('link.drop.full')).toBe(0)
      process.stdout.write(`  ${JSON.stringify({ out, back, handed: done('link.handed') })}\n`)
    })

    test('every TCP frame at the server is a right IPv6 one', async () => {
      const { lab } = rig.scene
      await lab.must('inet', 'ethtool', ['-K', 'web6', 'tx', 'off', 'tso', 'off', 'gso', 'off'])
      await lab.must('web6', 'ethtool', ['-K', 'eth0', 'gro', 'off'])
      const verdict = await judge({ lab, wires: [], judgedAt: ['web6', 'eth0'] })
      await exchange(5030)
      const seen = await verdict()
      expect(seen.faults, seen.example).toEqual({})
      expect([seen.lost, seen.tcp6 > BYTES / 1500]).toEqual([0, true])
      await lab.must('web6', 'ethtool', ['-K', 'eth0', 'gro', 'on'])
    })

    test('counted datagrams to the server: none is lost, each flow stays in order', async () => {
      const before = await counters()
      const sink = rig.scene.lab.spawn('web6', 'sink', process.execPath, [
        program('programs/counted-udp.ts'),
        ...['sink', '5004'],
      ])
      await sink.line(/listening/)
      // Longer than an entry lives in a follower without being renewed.
      await rig.scene.lab.must('host', process.execPath, [
        program('programs/counted-udp.ts'),
        ...['source', address, '5004', '200', '14', '16', '200,1100'],
      ])
      const runs = (): string[] => sink.text().split('\n').filter((line) => line.startsWith('{"run"')) // biome-ignore format: one line
      await until('all runs', () => (runs().length >= 16 ? true : null), 5000).catch(() => {})
      const told = runs().map((line) => JSON.parse(line) as { received: number; disorder: number })
      expect(told.map(({ received, disorder }) => [received, disorder])).toEqual(Array(16).fill([2800, 0]))
      await sink.stop()
      const done = since(before, await counters())
      const out = ports(done, 'edge#.out')
      expect(followers(out), `${out}`).toBeGreaterThan(10 * (out[0] ?? 0))
      expect(done('link.handed')).toBeLessThan(2000)
      expect([done('link.drop.full'), done('ntm.drop.other-worker'), done('ntm.drop.replay')]).toEqual([0, 0, 0])
    }, 60_000)

    test('counted datagrams to the host: none is lost, each flow stays in order', async () => {
      const before = await counters()
      const server = rig.scene.lab.spawn('web6', 'down', process.execPath, [
        program('programs/counted-down.ts'),
        ...['serve', '5005', '200', '12', '200,1100'],
      ])
      await server.line(/listening/)
      const told = await rig.scene.lab.must('host', process.execPath, [
        program('programs/counted-down.ts'),
        ...['call', address, '5005', '16', '13'],
      ])
      const runs = told.trim().split('\n').map((line) => JSON.parse(line) as { received: number; disorder: number }) // biome-ignore format: one line
      expect(runs.map(({ received, disorder }) => [received, disorder])).toEqual(Array(16).fill([2400, 0]))
      await server.stop()
      const done = since(before, await counters())
      const back = ports(done, 'edge#.in')
      expect(followers(back), `${back}`).toBeGreaterThan(5 * (back[0] ?? 0))
      expect(done('link.drop.full')).toBe(0)
    }, 60_000)

    /** Both ways at once, every byte compared at both ends. */
    async function exchange(port: number): Promise<void> {
      const { lab } = rig.scene
      const bulk = program('super/tcp-bulk.ts')
      const serve = [bulk, 'serve', PLACE.web6.ip6, `${port}`, `${BYTES}`]
      const server = lab.spawn('web6', `bulk-${port}`, process.execPath, serve)
      await server.line(/^bulk.ready/)
      await lab.must('host', process.execPath, [bulk, 'call', PLACE.web6.name, `${port}`, `${BYTES}`])
      await server.stop()
    }

    /** What the terminator has counted; asked for by SIGUSR1, as an operator would. */
    async function counters(): Promise<Record<string, number>> {
      const lines = (): string[] => tt.text().split('\n').filter((line) => line.includes('"event":"role.counters"')) // biome-ignore format: one line
      const before = lines().length
      tt.kill('SIGUSR1')
      await until('the counters', () => (lines().length > before ? true : null))
      return JSON.parse(lines().at(-1) ?? '') as Record<string, number>
    }
  })
}

function since(before: Record<string, number>, now: Record<string, number>): (name: string) => number {
  return (name) => (now[name] ?? 0) - (before[name] ?? 0)
}
