import { join } from 'node:path'
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

/**
 * Like `Lab.cable`, with weather: delay, jitter, loss, reordering, rate. Kernels without netem can do it, because a small
 * process carries every frame between two TAP devices, which are the rooms' interfaces; they have no offloads, so
 * that packets are lost one by one as on a wire. Needs the native addon. Good for some 100 Mbit/s; a delay is exact to
 * about 0.2 ms.
 */
export async function weatherLink(lab: Lab, plan: LinkPlan): Promise<Program> {
  if (!lab.rooms.includes(WIRES)) lab.room(WIRES, { 'net.ipv6.conf.default.disable_ipv6': 1 })
  const n = (counts.get(lab) ?? 0) + 1
  counts.set(lab, n)
  const mtu = plan.mtu ?? 1500
  const there = plan.there ?? {}
  const taps = [`tap${n}a`, `tap${n}b`] as const
  const wire = lab.spawn(WIRES, `link-${plan.a[0]}-${plan.b[0]}`, process.execPath, [
    join(ROOT, 'lab/link-process.ts'),
    ...taps,
    `${mtu + ETHERNET_BYTES}`,
    `${plan.seed ?? 1}`,
    JSON.stringify(there),
    JSON.stringify(plan.back ?? there),
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
  return wire
}

const counts = new WeakMap<Lab, number>()
/** The room where the link processes live. */
const WIRES = 'wires'
/** Ethernet header and two VLAN tags. */
const ETHERNET_BYTES = 22
