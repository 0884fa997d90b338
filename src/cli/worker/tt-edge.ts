import { IoFault } from '#io/fault.ts'
import type { PortCounters } from '#io/native.ts'
import { openTun } from '#io/packet-native.ts'
import { openPortable } from '#io/port-portable.ts'
import type { SuperPort } from '#ntm-lib/ports/packet-port.ts'
import { PlainPort, type Segment } from './plain-port.ts'
import type { EdgeKind } from './tt-words.ts'

/** The terminator's door to the edge. */
export type EdgePort = {
  readonly port: SuperPort
  /** Whether the kernel routes what the port sends, and takes a hop for it. */
  readonly kernelSpendsHop: boolean
  readonly counters: () => PortCounters
}

/** Opens the port. IoFault when the machine refuses; `fail` when the interface goes away later. */
export function openEdgePort({ port: kind, name }: EdgeKind, segment: Segment, fail: (why: Error) => void): EdgePort {
  if (kind === 'tun') {
    const port = openTun(name, { offloads: true })
    port.onGone(() => fail(new IoFault(`use ${name}`, new Error('the interface is gone'))))
    return { port, kernelSpendsHop: true, counters: () => port.counters }
  }
  const port = openPortable(name)
  return { port: new PlainPort(port, segment), kernelSpendsHop: false, counters: () => port.counters }
}
