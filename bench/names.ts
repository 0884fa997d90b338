import { LabError } from '#lab/ip.ts'
import { pause } from '#lab/process.ts'
import { PLACE } from '#lab/scenes/v4-host-to-v6-server.ts'
import { FAR, type Place, place, timesOf } from './place.ts'
import type { Row } from './row.ts'
import { median, stats } from './stats.ts'

export type NamesPlan = { readonly samples: number; readonly restarts: number }

/** Round trips measured in the same run, in milliseconds; what a name cannot be answered without follows from them. */
export type RoundTrips = {
  readonly dnsNew: number
  readonly bridgeCoordinator: number
  readonly coordinatorTt: number
  readonly ttResolver: number
  readonly bridgeTt: number
}

/** Both labs: cables only, and round trips of the seeds' order. Throws LabError when a lab does not come up. */
export async function measureEverythingOfNames(quick: boolean, say: (text: string) => void): Promise<Row[]> {
  const plan = quick ? { samples: 15, restarts: 3 } : { samples: 60, restarts: 12 }
  const rows: Row[] = []
  for (const [lab, weather] of [
    ['plain', {}],
    ['far', FAR],
  ] as const) {
    say(`names, lab ${lab}`)
    const p = await place(weather)
    try {
      rows.push(...(await measureNames(p, lab, plan)))
    } catch (fault) {
      say(`the lab's logs: ${p.scene.lab.keepLogs('failed-bench')}`)
      throw fault
    } finally {
      p.scene.dispose()
    }
  }
  return rows
}

/** Time from the host's DNS query to its answer, measured on the host. */
export async function measureNames(p: Place, lab: Lab, plan: NamesPlan): Promise<Row[]> {
  const row = rowsOf(lab)
  const rtt = await roundTrips(p, plan.samples)
  const newName = rtt.dnsNew + rtt.bridgeCoordinator + rtt.coordinatorTt + rtt.ttResolver
  const nothing = newName + rtt.bridgeTt

  // A first name opens the tunnel and warms everybody up; the others find it standing.
  await p.ask('host', p.fresh(20))
  const fresh = timesOf(await p.ask('host', p.fresh(plan.samples)))
  const known = p.fresh(1)
  await p.ask('host', known)
  const again = timesOf(
    await p.ask(
      'host',
      Array.from({ length: plan.samples }, () => known[0] ?? ''),
    ),
  )

  const through = await ordinary(p, plan.samples)
  const first = { bridge: [] as number[], tt: [] as number[] }
  for (const role of ['tt', 'bridge'] as const) {
    for (let i = 0; i < plan.restarts; i++) {
      await p.restart(role)
      // The box learns its host from any packet; its virtual pair comes from the coordinator. Neither is part of a name's price.
      await p.ask('host', [PLACE.dual.name])
      await pause(300)
      first[role].push(...timesOf(await p.ask('host', p.fresh(1))))
    }
  }
  await p.running('bridge').stop()
  const stopped = await ordinary(p, plan.samples)
  await p.restart('bridge')

  return [
    ...Object.entries(rtt).map(([name, ms]) => row(`round trip ${name}`, [ms])),
    row('(a) name known to the bridge', again, '<= 1'),
    row('(b) tunnel standing, name new', fresh, `<= ${(newName + 5).toFixed(1)}`, `unavoidable ${newName.toFixed(2)}`),
    row(
      '(b) minus unavoidable',
      fresh.map((ms) => ms - newName),
      '<= 5',
    ),
    ...(['tt', 'bridge'] as const).flatMap((role) => [
      row(
        `(c) nothing standing, ${role} just started`,
        first[role],
        `<= ${(nothing + 5).toFixed(1)}`,
        `unavoidable ${nothing.toFixed(2)}`,
      ),
      row(
        `(c) minus unavoidable, ${role} just started`,
        first[role].map((ms) => ms - nothing),
        '<= 5',
      ),
    ]),
    row('(d) ordinary name, through the bridge', through.host),
    row('(d) the same, program stopped', stopped.host),
    row('(d) the same, neighbour without bridge', [...through.neighbour, ...stopped.neighbour]),
    row(
      '(d) more than with the program stopped',
      through.host.map((ms) => ms - median(stopped.host)),
      '<= 1',
    ),
  ]
}

async function roundTrips(p: Place, samples: number): Promise<RoundTrips> {
  const { coordinator, tt, resolver } = PLACE
  // A name that nobody asked for yet, by somebody without a bridge: one DNS round trip, router and resolver included.
  const dnsNew = median(timesOf(await p.ask('neighbour', p.fresh(samples), { mayFail: true })))
  // The TT asks for what the bridge has just asked for: the resolver has it.
  const known = Array.from({ length: samples }, () => PLACE.dual.name)
  return {
    dnsNew,
    bridgeCoordinator: median(await p.ping('bridge', coordinator.ip4)),
    coordinatorTt: median(await p.ping('coordinator', tt.ip4)),
    ttResolver: median(timesOf(await p.ask('tt', known, { server: resolver.ip4 }))),
    bridgeTt: median(await p.ping('bridge', tt.ip4)),
  }
}

/** The host and its neighbour ask in turn for a name with an A record, which their router's cache has. */
async function ordinary(p: Place, samples: number): Promise<{ host: number[]; neighbour: number[] }> {
  const times = { host: [] as number[], neighbour: [] as number[] }
  const names = Array.from({ length: Math.ceil(samples / TURNS) }, () => PLACE.dual.name)
  for (let turn = 0; turn < TURNS; turn++) {
    for (const room of ['host', 'neighbour'] as const) times[room].push(...timesOf(await p.ask(room, names)))
  }
  if (times.host.length < samples || times.neighbour.length < samples)
    throw new LabError('ordinary names went unanswered')
  return times
}

const rowsOf =
  (lab: Lab) =>
  (name: string, values: readonly number[], goal?: string, note?: string): Row => ({
    group: 'names',
    name,
    peer: null,
    lab,
    unit: 'ms',
    stats: stats(values),
    ...(goal === undefined ? {} : { goal }),
    ...(note === undefined ? {} : { note }),
  })

type Lab = 'plain' | 'far'

const TURNS = 5
