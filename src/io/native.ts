import { createRequire } from 'node:module'
import type { PacketIo, Port } from '#native/packet-io/index.d.ts'
import { IoFault } from './fault.ts'

let loaded: PacketIo | null = null

/**
 * The native addon, loaded once per thread; the only place that knows where it lies. IoFault when it has not been
 * built. `NTM_PACKET_IO` names another build of it (the sanitized one, in tests).
 */
export function packetIo(): PacketIo {
  if (loaded !== null) return loaded
  const path = process.env['NTM_PACKET_IO'] ?? BUILT
  try {
    loaded = createRequire(import.meta.url)(path) as PacketIo
    return loaded
  } catch (cause) {
    throw new IoFault(`load ${path} (build it with: make -C native/packet-io)`, cause)
  }
}

/**
 * What happened at a port since it was opened. Frames or datagrams: `oversizedIn` did not fit a slot, `badIn` could not
 * be understood, `refusedOut` the kernel would never take, `fullOut` found no room, `downOut` met a link that is down.
 * `errorsIn` are ICMP errors told to a UDP socket. `superIn` and `superOut`: packets or runs of several segments among them;
 * `gsoRefused` of these the kernel would not cut, so that they went in parts. `lostIn`: the socket's receive buffer was full (a TUN or
 * TAP counts that at its interface). `viaRefusedOut`: datagrams whose via (`addr/via.ts`) the kernel refused; of runs they went as the
 * kernel chose, single ones are lost.
 */
export type PortCounters = { readonly [K in (typeof STATS)[number]]: number }

export function readCounters(io: PacketIo, port: Port): PortCounters {
  const values = new Float64Array(STATS.length)
  io.stats(port, values)
  return Object.fromEntries(STATS.map((name, i) => [name, values[i] ?? 0])) as PortCounters
}

export const NO_COUNTS: PortCounters = {
  in: 0,
  out: 0,
  oversizedIn: 0,
  badIn: 0,
  refusedOut: 0,
  fullOut: 0,
  downOut: 0,
  errorsIn: 0,
  superIn: 0,
  superOut: 0,
  gsoRefused: 0,
  lostIn: 0,
  viaRefusedOut: 0,
}

/** In the order of the addon's `stats`. */
const STATS = [
  'in',
  'out',
  'oversizedIn',
  'badIn',
  'refusedOut',
  'fullOut',
  'downOut',
  'errorsIn',
  'superIn',
  'superOut',
  'gsoRefused',
  'lostIn',
  'viaRefusedOut',
] as const
/** By its name in package.json: the modules of an installed program lie elsewhere than here (`image/link.ts`). */
const BUILT = '#native/packet-io/build/packet-io.node'
