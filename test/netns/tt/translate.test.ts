import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { Lab, ROOT } from '#lab/netns.ts'
import type { Program } from '#lab/process.ts'
import { describeLab } from '#test/support/lab.ts'
import { judge, type Verdict } from '../super/scene.ts'

/*
 *   h 198.18.0.5, fd00:1:2::5 ── h0 [t: bench/translate.ts] s0 ── c 192.0.2.80, 2001:db8:6::80
 *
 * The terminator's packet loop between two TUN devices with offloads, no tunnels: h knows the server by virtual addresses.
 */
const SERVER = {
  4: { real: '192.0.2.80', virtual4: '198.19.0.4', virtual6: 'fd00:1:3::4' },
  6: { real: '2001:db8:6::80', virtual4: '198.19.0.6', virtual6: 'fd00:1:3::6' },
} as const
const BYTES = 12_000_000
const WIRE_FORM = ['tx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'off', 'tx-udp-segmentation', 'off']
type F = 4 | 6
type Port = { readonly superIn: number; readonly superOut: number; readonly gsoRefused: number; readonly badIn: number }
type Told = { readonly counters: Record<string, number>; readonly inside: Port; readonly edge: Port }

describeLab('super-packets through the terminator’s packet loop, translated whole', () => {
  let lab: Lab
  let translator: Program
  let servers = 0
  beforeAll(async () => {
    lab = new Lab()
    lab.room('h')
    lab.room('c')
    lab.room('t', { 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 })
    lab.cable(['h', 'eth0'], ['t', 'h0'])
    lab.cable(['t', 's0'], ['c', 'eth0'])
    lab.ip('h', 'address add 198.18.0.5/24 dev eth0', 'address add fd00:1:2::5/64 dev eth0')
    lab.ip('t', 'address add 198.18.0.1/24 dev h0', 'address add fd00:1:2::1/64 dev h0')
    lab.ip('t', 'address add 192.0.2.1/24 dev s0', 'address add 2001:db8:6::1/64 dev s0')
    lab.ip('c', 'address add 192.0.2.80/24 dev eth0', 'address add 2001:db8:6::80/64 dev eth0')
    lab.ip('h', 'route add default via 198.18.0.1', 'route add default via fd00:1:2::1')
    lab.ip('c', 'route add default via 192.0.2.1', 'route add default via 2001:db8:6::1')
  })
  afterAll(() => lab?.dispose())

  /** One server at a time: h's own addresses lead to the edge in the server's family, and only there. */
  const start = async (outside: F): Promise<void> => {
    const { real, virtual4, virtual6 } = SERVER[outside]
    const stand = outside === 4 ? '198.18.9.5' : 'fd00:1:2:9::5'
    const host = outside === 4 ? `${stand},fd00:1:2::5` : `198.18.0.5,${stand}`
    translator = lab.spawn('t', `translate${outside}`, process.execPath, [
      join(ROOT, 'bench/translate.ts'),
      ...['--host', host, '--server', `${virtual4},${virtual6},${real}`],
    ])
    await translator.line(/"ready":true/)
  }
  const counters = async (): Promise<Told> => {
    const told = (): string[] =>
      translator
        .text()
        .split('\n')
        .filter((line) => line.startsWith('{"counters"') && line.endsWith('}'))
    const before = told().length
    translator.kill('SIGUSR1')
    await vi.waitUntil(() => told().length > before, { timeout: 5000 })
    return JSON.parse(told().at(-1) ?? '') as Told
  }

  describe.each([
    [4, 6],
    [6, 4],
  ] as const)('IPv%i host, IPv%i server', (inside, outside) => {
    const address = (): string => SERVER[outside][inside === 4 ? 'virtual4' : 'virtual6']
    const { real } = SERVER[outside]
    beforeAll(() => start(outside))
    afterAll(async () => void (await translator.stop()))

    const judged = async (room: 'h' | 'c', run: () => Promise<void>): Promise<Verdict> => {
      const link = room === 'h' ? 'h0' : 's0'
      await lab.must('t', 'ethtool', ['-K', link, ...WIRE_FORM])
      await lab.must(room, 'ethtool', ['-K', 'eth0', 'gro', 'off'])
      const verdict = await judge({ lab, wires: [], judgedAt: [room, 'eth0'] })
      await run()
      const seen = await verdict()
      expect(seen.faults, seen.example).toEqual({})
      expect(seen.lost).toBe(0)
      return seen
    }
    const bulk = async (): Promise<void> => {
      const program = join(ROOT, 'test/netns/super/tcp-bulk.ts')
      const server = lab.spawn('c', `bulk${servers++}`, process.execPath, [program, 'serve', real, '5001', `${BYTES}`])
      await server.line(/^bulk.ready/)
      await lab.must('h', process.execPath, [program, 'call', address(), '5001', `${BYTES}`])
      await server.stop()
    }
    const datagrams = async (bytes: number): Promise<{ sent: number; back: number; wrong: number }> => {
      const program = join(ROOT, 'test/netns/programs/udp-bulk.ts')
      const server = lab.spawn('c', `udp${servers++}`, process.execPath, [program, 'serve', real, '5002'])
      await server.line(/^udp.ready/)
      const told = await lab.must('h', process.execPath, [program, 'call', address(), '5002', `${bytes}`, '40'])
      await server.stop()
      return JSON.parse(told) as { sent: number; back: number; wrong: number }
    }

    test('TCP both ways at once: every byte arrives, and every frame on either far wire is right', async () => {
      for (const room of ['c', 'h'] as const) {
        const seen = await judged(room, bulk)
        const family = room === 'c' ? outside : inside
        expect(family === 4 ? seen.tcp4 : seen.tcp6).toBeGreaterThan(BYTES / 1500)
      }
    })

    test('runs of UDP datagrams that fit cross whole, there and back', async () => {
      const before = await counters()
      for (const room of ['c', 'h'] as const) {
        const seen = await judged(room, async () => {
          expect(await datagrams(1200)).toEqual({ sent: 800, back: 800, wrong: 0 })
        })
        expect(seen.udp4 + seen.udp6).toBeGreaterThanOrEqual(800)
      }
      const { inside: near, edge: far } = await counters()
      // 40 runs each time; most of them in one piece even on a busy machine.
      expect(near.superIn - before.inside.superIn).toBeGreaterThan(60)
      expect(far.superOut - before.edge.superOut).toBe(near.superIn - before.inside.superIn)
      for (const port of [near, far]) expect(port).toMatchObject({ gsoRefused: 0, badIn: 0 })
    })

    test('runs of UDP datagrams that do not fit are answered one by one', async () => {
      const before = (await counters()).counters['tt.drop.too-big'] ?? 0
      // 1472 fills an IPv4 packet: IPv6 has 20 bytes less. Towards IPv4 everything fits that IPv6 can send.
      const went = await datagrams(inside === 4 ? 1472 : 1452)
      if (inside === 4) {
        expect(went.back).toBe(0)
        // The sender hears of the first of them and sends no more.
        expect((await counters()).counters['tt.drop.too-big'] ?? 0).toBeGreaterThan(before)
      } else expect(went).toEqual({ sent: 800, back: 800, wrong: 0 })
    })
  })
})
