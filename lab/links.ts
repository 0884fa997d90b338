import { createConnection } from 'node:net'
import { join } from 'node:path'
import { LabError } from './ip.ts'
import type { LinkCounts, LinkOrder } from './link-process.ts'
import { type Lab, type Plug, ROOT } from './netns.ts'
import type { Program } from './process.ts'
import type { Weather } from './weather.ts'

export type LinkPlan = {
  readonly a: Plug
  readonly b: Plug
  /** From a to b. */
  readonly there?: Weather
  /** From b to a; like `there` unless told. */
  readonly back?: Weather
  readonly mtu?: number
  /** For loss, jitter and reordering; the same seed loses the same packets. */
  readonly seed?: number
}

export type WeatherLink = {
  readonly wire: Program
  /** Changes the weather of either direction while packets are under way; says what became of packets until then. */
  readonly change: (order?: LinkOrder) => Promise<LinkCounts>
}

/**
 * Like `Lab.cable`, with weather: delay, jitter, loss, reordering, rate. Kernels without netem can do it, because a small
 * process carries every frame between two TAP devices, which are the rooms' interfaces; they have no offloads, so
 * that packets are lost one by one as on a wire. Needs the native addon. Good for some 100 Mbit/s; a delay is exact to
 * about 0.2 ms on a quiet machine (`WeatherLink.change` tells how late packets were).
 */
export async function weatherLink(lab: Lab, plan: LinkPlan): Promise<WeatherLink> {
  if (!lab.rooms.includes(WIRES)) lab.room(WIRES, { 'net.ipv6.conf.default.disable_ipv6': 1 })
  const n = (counts.get(lab) ?? 0) + 1
  counts.set(lab, n)
  const mtu = plan.mtu ?? 1500
  const there = plan.there ?? {}
  const control = join(lab.dir, `link${n}.sock`)
  const taps = [`tap${n}a`, `tap${n}b`] as const
  const wire = lab.spawn(WIRES, `link-${plan.a[0]}-${plan.b[0]}`, process.execPath, [
    join(ROOT, 'lab/link-process.ts'),
    ...taps,
    `${mtu + ETHERNET_BYTES}`,
    `${plan.seed ?? 1}`,
    JSON.stringify(there),
    JSON.stringify(plan.back ?? there),
    control,
  ])
  await wire.line(/link\.ready/)
  const ends = [
    [taps[0], plan.a],
    [taps[1], plan.b],
  ] as const
  for (const [tap, [room, link]] of ends) {
    lab.ip(WIRES, `link set dev ${tap} netns ${lab.netns(room)} name ${link}`)
    lab.ip(room, `link set dev ${link} mtu ${mtu} up`)
  }
  return { wire, change: (order = {}) => tell(control, order) }
}

function tell(control: string, order: LinkOrder): Promise<LinkCounts> {
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = createConnection(control, () => socket.write(`${JSON.stringify(order)}\n`))
    socket.on('data', (chunk) => {
      text += String(chunk)
    })
    socket.on('error', (fault) => reject(new LabError(`link: ${fault.message}`)))
    socket.on('end', () => resolve(JSON.parse(text) as LinkCounts))
  })
}

const counts = new WeakMap<Lab, number>()
/** The room where the link processes live. */
const WIRES = 'wires'
/** Ethernet header and two VLAN tags. */
const ETHERNET_BYTES = 22
