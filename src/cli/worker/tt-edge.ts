import { IoFault } from '#io/fault.ts'
import type { PortCounters } from '#io/native.ts'
import { openTun } from '#io/packet-native.ts'
import { openPortable } from '#io/port-portable.ts'
import type { PacketIo } from '#native/packet-io/index.d.ts'
import { HEADROOM, type SuperPort } from '#ntm-lib/ports/packet-port.ts'
import { PlainPort, type Segment } from './plain-port.ts'
import type { EdgeKind } from './tt-words.ts'

/** The terminator's door to the edge. */
export type EdgePort = {
  readonly port: SuperPort
  /** Whether the kernel routes what the port sends, and takes a hop for it. */
  readonly kernelSpendsHop: boolean
  readonly counters: () => PortCounters
}

/** Opens the port; `shared`: one of several workers' queues of the device. IoFault when the machine refuses; `fail` when the interface goes away later. */
export function openEdgePort(
  { port: kind, name }: EdgeKind,
  segment: Segment,
  fail: (why: Error) => void,
  shared: boolean,
): EdgePort {
  if (kind === 'tun') {
    const port = openTun(name, { offloads: true, multiQueue: shared })
    port.onGone(() => fail(new IoFault(`use ${name}`, new Error('the interface is gone'))))
    return { port, kernelSpendsHop: true, counters: () => port.counters }
  }
  const port = openPortable(name)
  return { port: new PlainPort(port, segment), kernelSpendsHop: false, counters: () => port.counters }
}

/** Cuts super-packets where they may be: at their own segments. */
export const segmenter =
  (io: PacketIo): Segment =>
  (arena, at, len, gso, into) =>
    io.segment(arena, at, len, gso, WHOLE, into.arena, into.slotBytes, HEADROOM, into.lens)

/** Segments stay as long as they are: whether they fit is judged one by one. */
const WHOLE = 65_535
