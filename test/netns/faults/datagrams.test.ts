import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import { PLACE, type Room } from '#lab/scenes/v4-host-to-v6-server.ts'
import { describeLab } from '#test/support/lab.ts'
import { pause, Rig, type Role } from './rig.ts'

// Strangers and their datagrams on the real UDP ports of all three programs.

const NTM_PORT = 4330

type Told = {
  sent: number
  sentBytes: number
  answered: number
  answeredBytes: number
  larger: string[]
  classes: number[]
}

describeLab('datagrams of strangers', () => {
  let rig: Rig
  let capture: string
  beforeAll(async () => {
    rig = await Rig.up()
    capture = join(rig.scene.lab.dir, 'all.pcap')
    // What is captured later is replayed: a whole life of the system, from its hellos to its packets.
    const tcpdump = rig.scene.lab.spawn('inet', 'tcpdump', 'tcpdump', [
      '-i',
      'tt',
      '-U',
      '--immediate-mode',
      '-s',
      '0',
      '-w',
      capture,
      `udp port ${NTM_PORT}`,
    ])
    const other = rig.scene.lab.spawn('inet', 'tcpdump-dc', 'tcpdump', [
      '-i',
      'coordinator',
      '-U',
      '--immediate-mode',
      '-s',
      '0',
      '-w',
      `${capture}-dc`,
      `udp port ${NTM_PORT}`,
    ])
    await Promise.all([tcpdump, other].map((p) => p.line(/listening on/)))
    for (const role of ['coordinator', 'tt', 'bridge'] as const) {
      await rig.kill(role)
      await rig.again(role)
    }
    await rig.warm()
    await pause(200)
    await Promise.all([tcpdump.stop(), other.stop()])
  })
  afterAll(() => rig?.dispose())

  const hostile = async (from: Room, to: string, pcap: string): Promise<Told> =>
    JSON.parse(
      await rig.scene.lab.must(from, process.execPath, [
        join(ROOT, 'test/netns/programs/hostile.ts'),
        to,
        `${NTM_PORT}`,
        pcap,
      ]),
    ) as Told

  /** Drops by reason, of classes 1 to 6. */
  const drops = (c: Readonly<Record<string, number>>): Record<string, number> =>
    Object.fromEntries(Object.entries(c).filter(([k]) => /^(control|ntm)\.drop\./.test(k)))

  const TARGETS: readonly (readonly [Role, Room])[] = [
    ['coordinator', 'web4'],
    ['tt', 'web4'],
    ['bridge', 'neighbour'],
  ]
  test.each(TARGETS)(
    'truncated, oversized, replayed, forged, of another version, to the %s: counted by reason, never a larger answer, nothing changes',
    async (role, from) => {
      const to = role === 'bridge' ? await rig.scene.address4('bridge', 'br0') : PLACE[role].ip4
      const [machine, rows, tables] = [await rig.machine(), rig.rows(), await rig.tables()]
      const [before, mark] = [await rig.counters(role), rig.mark(role)]
      const told = [await hostile(from, to ?? '', capture), await hostile(from, to ?? '', `${capture}-dc`)]
      const classes = new Set(told.flatMap((t) => t.classes))
      // 0x11 and 0x12 control, 0x13 and 0x14 tunnels: the capture has them all.
      for (const cls of [0x11, 0x12, 0x13, 0x14]) expect([...classes]).toContain(cls)
      for (const t of told) {
        expect(t.sent).toBeGreaterThan(100)
        expect(t.larger).toEqual([])
        expect(t.answeredBytes).toBeLessThan(t.sentBytes)
      }
      const after = await rig.counters(role)
      const rose = Object.entries(drops(after)).filter(([k, v]) => v > (drops(before)[k] ?? 0))
      expect(rose.length, JSON.stringify(after)).toBeGreaterThan(3)
      // Not a line per datagram: a handful of words at most for hundreds of them.
      expect(rig.since(role, mark).filter((l) => l.event !== 'role.counters').length).toBeLessThan(5)
      expect(rig.program(role).alive()).toBe(true)
      expect(await rig.machine()).toBe(machine)
      expect(rig.rows()).toBe(rows)
      expect(noFlows(await rig.tables())).toBe(noFlows(tables))
      expect(await rig.page()).toBe(true)
    },
  )
})

const noFlows = (tables: string): string =>
  tables
    .split('\n')
    .filter((l) => !l.includes('flows'))
    .join('\n')
