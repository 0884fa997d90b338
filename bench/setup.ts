import { join } from 'node:path'
import { LabError } from '#lab/ip.ts'
import { ROOT } from '#lab/netns.ts'
import { pause } from '#lab/process.ts'
import { type NodesScene, nodes } from '#lab/scenes/nodes.ts'
import { udpEcho } from '#lab/services.ts'
import type { FirstPacket } from './first-packet.ts'
import { type Party, setRoundTrips, TABLE_3 } from './round-trips.ts'
import type { Row } from './row.ts'
import { median, stats } from './stats.ts'

/*
 *   mn4a, mn4b ── cell (global IPv4) ──┐            ┌── dc  (one coordinator, in the place of the seeds' two)
 *                                      ├── inet ────┤
 *   mn6a, mn6b ── wifi (IPv6 alone) ───┘     │      └── rs  (relay)
 *                                            └── home (IPv4 NAT) ── cn1, cn2, …
 *
 * SEED 003 table 4 on its table 3. Every mobile node asks every correspondent once, by name: each time there is no tunnel yet. `…a` asks first,
 * so these are every correspondent's first tunnels; when `…b` asks, both ends have made some before.
 */
export type SetupPlan = { readonly correspondents: number; readonly debug?: boolean }

export async function measureSetup(quick: boolean, say: (text: string) => void): Promise<Row[]> {
  const scene = await place({ correspondents: quick ? 4 : 12 }, say)
  try {
    return await measure(scene, say)
  } catch (fault) {
    say(`the lab's logs: ${scene.scene.lab.keepLogs('failed-bench')}`)
    throw fault
  } finally {
    scene.scene.dispose()
  }
}

export type SetupPlace = { readonly scene: NodesScene; readonly correspondents: readonly string[] }

/** The scene with everybody registered and an echo on every correspondent. */
export async function place(plan: SetupPlan, say: (text: string) => void): Promise<SetupPlace> {
  // The seeds' own rule: what is not direct at once stays with the relay.
  const scene = await nodes({
    weather: { coordinator: {}, relay1: {} },
    coordinator: { 'route.optimise': 'seed', ...(plan.debug === true ? { 'log.level': 'debug' } : {}) },
  })
  try {
    const { net, lab, at } = scene
    const [cell, wifi, home] = [
      await scene.site('cell', 'v4-only', { weather: {} }),
      await scene.site('wifi', 'v6-only', { weather: {} }),
      await scene.site('home', 'port-restricted', { weather: {} }),
    ]
    const seats = new Map(MOBILES.map((room) => [room, scene.machine(room, room.startsWith('mn4') ? cell : wifi)]))
    const addressesOf = (kind: string): (string | null)[] =>
      [...seats].filter(([room]) => room.startsWith(kind)).flatMap(([, seat]) => [seat.ip4, seat.ip6])
    const party = (link: string, addresses: readonly (string | null | undefined)[]): Party => ({
      link,
      addresses: addresses.map((address) => address ?? null),
    })
    const dc = party('coordinator', [at['coordinator']?.ip4, at['coordinator']?.ip6])
    const rs = party('relay1', [at['relay1']?.ip4, at['relay1']?.ip6])
    const mn4 = party('cell', addressesOf('mn4'))
    const mn6 = party('wifi', addressesOf('mn6'))
    const cn = party('home', [home.outside4])
    await setRoundTrips(net, [
      [mn4, dc, TABLE_3['mn4-dc']],
      [mn4, cn, TABLE_3['mn4-cn']],
      // Not in the table: by way of the coordinator.
      [mn4, rs, TABLE_3['mn4-dc'] + TABLE_3['dc-rs']],
      [mn6, dc, TABLE_3['mn6-dc']],
      [mn6, rs, TABLE_3['mn6-rs']],
      // The way to the correspondent led through its own coordinator.
      [cn, dc, TABLE_3['cn-dc'] + TABLE_3['dc-dc']],
      [cn, rs, TABLE_3['cn-rs']],
      [dc, rs, TABLE_3['dc-rs']],
    ])
    const correspondents = Array.from({ length: plan.correspondents }, (_, i) => `cn${i + 1}`)
    for (const room of correspondents) {
      scene.machine(room, home)
      await udpEcho(lab, room, '0.0.0.0', ECHO_PORT)
    }
    const level = plan.debug === true ? { 'log.level': 'debug' } : {}
    for (const room of [...correspondents, ...MOBILES]) await scene.node(room, level)
    say(`set-up: ${correspondents.length} correspondents behind a NAT, ${MOBILES.join(', ')}`)
    // Registrations, readings of the relay and the first bursts of a starting program.
    await pause(4000)
    return { scene, correspondents }
  } catch (fault) {
    scene.lab.keepLogs('failed-bench')
    scene.dispose()
    throw fault
  }
}

/** Asks from `room` for a correspondent that it has no tunnel to. Throws LabError when it is not answered, or not by the way expected. */
export async function ask(
  { scene }: SetupPlace,
  room: string,
  correspondent: string,
  way: string,
): Promise<{ answerMs: number; echoMs: number }> {
  const name = `${correspondent}.${scene.zone}`
  const text = await scene.lab.must(room, process.execPath, [CLIENT, STUB, name, `${ECHO_PORT}`])
  const { answerMs, echoMs } = JSON.parse(text) as FirstPacket
  const found = await scene.way(room, correspondent)
  if (answerMs === null || echoMs === null) throw new LabError(`${room} asked for ${name}: ${text}`)
  if (found !== way) throw new LabError(`${room} to ${name}: ${found}, not ${way}`)
  return { answerMs, echoMs }
}

async function measure(p: SetupPlace, say: (text: string) => void): Promise<Row[]> {
  const rows: Row[] = []
  const trip = (from: string, to: string): Promise<number> => roundTrip(p.scene, from, to)
  const cn = p.correspondents[0] ?? ''
  const toDc = await trip(cn, p.scene.at['coordinator']?.ip4 ?? '')
  for (const { key, what, way, paper } of CASES) {
    say(what)
    const a = `${key}a`
    const at = p.scene.at
    const ip = (room: string): string => (key === 'mn4' ? at[room]?.ip4 : at[room]?.ip6) ?? ''
    const unavoidable = (await trip(a, ip('coordinator'))) + toDc + (way === 'relay' ? await trip(a, ip('relay1')) : 0)
    const nominal = NOMINAL[key]
    const firstByte =
      unavoidable + (way === 'direct' ? TABLE_3['mn4-cn'] : (await trip(a, ip('relay1'))) + TABLE_3['cn-rs'])
    rows.push(rowOf(`${what}: unavoidable (pings)`, [unavoidable], undefined, `table 3: ${nominal.toFixed(2)}`))
    for (const [room, when] of [
      [a, 'first tunnel of the correspondent'],
      [`${key}b`, 'warm'],
    ] as const) {
      const took = []
      for (const correspondent of p.correspondents) {
        took.push(await ask(p, room, correspondent, way))
        await pause(300)
      }
      const answers = took.map((t) => t.answerMs)
      say(`${room}: ${answers.map((ms) => ms.toFixed(1)).join(' ')}`)
      rows.push(
        rowOf(
          `${what}, ${when}: DNS query to answer`,
          answers,
          undefined,
          `SEED 003: tunnel ${paper.tunnel}, whole ${paper.whole}`,
        ),
        rowOf(
          `${what}, ${when}: more than unavoidable`,
          answers.map((ms) => ms - unavoidable),
          '<= 5',
        ),
        rowOf(
          `${what}, ${when}: DNS query to first byte back`,
          took.map((t) => t.echoMs),
          undefined,
          `unavoidable ${firstByte.toFixed(1)}`,
        ),
        rowOf(
          `${what}, ${when}: first byte, more than unavoidable`,
          took.map((t) => t.echoMs - firstByte),
        ),
      )
    }
  }
  return rows
}

async function roundTrip({ lab }: NodesScene, from: string, address: string): Promise<number> {
  const text = await lab.must(from, 'ping', ['-n', '-c', '15', '-i', '0.2', '-W', '2', address])
  return median([...text.matchAll(/time=([\d.]+)/g)].map((match) => Number(match[1])))
}

const rowOf = (name: string, values: readonly number[], goal?: string, note?: string): Row => ({
  group: 'setup',
  name,
  peer: null,
  unit: 'ms',
  stats: stats(values),
  ...(goal === undefined ? {} : { goal }),
  ...(note === undefined ? {} : { note }),
})

const MOBILES = ['mn4a', 'mn4b', 'mn6a', 'mn6b'] as const
const NOMINAL = {
  mn4: TABLE_3['mn4-dc'] + TABLE_3['cn-dc'] + TABLE_3['dc-dc'],
  mn6: TABLE_3['mn6-dc'] + TABLE_3['cn-dc'] + TABLE_3['dc-dc'] + TABLE_3['mn6-rs'],
}
/** SEED 003 table 4, milliseconds: the tunnel alone, and with the look-ups before it. */
const CASES = [
  {
    key: 'mn4',
    what: 'case 1-1, global IPv4 to a box behind a NAT',
    way: 'direct',
    paper: { tunnel: 325, whole: 837 },
  },
  { key: 'mn6', what: 'case 1-2, IPv6 only to a box behind a NAT', way: 'relay', paper: { tunnel: 197, whole: 240 } },
] as const
const CLIENT = join(ROOT, 'bench/first-packet.ts')
/** Where `ntm up` answers names. */
const STUB = '127.0.0.43'
const ECHO_PORT = 7007
