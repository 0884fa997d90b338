import { join } from 'node:path'
import { type Lab, ROOT } from './netns.ts'

/** What a NAT was seen to do: by real packets, after RFC 5780, not by reading its configuration. */
export type NatBehaviour = {
  /** RFC 4787 §4.1: does the outside port depend on where a packet goes. */
  readonly mapping: Dependence
  /** RFC 4787 §5: who may send to the outside port. */
  readonly filtering: Dependence
  /** RFC 4787 §6: two sockets inside reach each other at their outside addresses. */
  readonly hairpin: boolean
  /** The outside port was the inside one. */
  readonly portKept: boolean
  /** `ADDRESS:PORT` as the first server saw it. */
  readonly mapped: string
}
export type Dependence = 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent'

/** The usual name for a behaviour; null for combinations the lab does not make. */
export function natLabel(b: NatBehaviour): string | null {
  if (b.mapping === 'address-and-port-dependent') return b.filtering === b.mapping ? 'symmetric' : null
  if (b.mapping !== 'endpoint-independent') return null
  return {
    'endpoint-independent': 'full-cone',
    'address-dependent': 'address-restricted',
    'address-and-port-dependent': 'port-restricted',
  }[b.filtering]
}

/** The probe's servers: two addresses of one room, two ports on each. */
export type ProbePlan = {
  readonly inside: string
  readonly outside: string
  readonly addresses: readonly [string, string]
  readonly ports: readonly [number, number]
}

/** Probes the NAT between two rooms and takes its programs away again. About a second. */
export async function probeNat(lab: Lab, plan: ProbePlan): Promise<NatBehaviour> {
  const script = join(ROOT, 'lab/nat-probe.ts')
  const places = [...plan.addresses, ...plan.ports.map(String)]
  const server = lab.spawn(plan.outside, 'nat-probe', process.execPath, [script, 'serve', ...places])
  try {
    await server.line(/probe\.ready/)
    return JSON.parse(await lab.must(plan.inside, process.execPath, [script, 'ask', ...places])) as NatBehaviour
  } finally {
    await server.stop()
  }
}

/** `ADDRESS:PORT` that a probe server sees for `sourcePort` of a room. The server must be running. */
export async function seenAs(
  lab: Lab,
  room: string,
  server: readonly [string, number],
  sourcePort: number,
): Promise<string> {
  const script = join(ROOT, 'lab/nat-probe.ts')
  return (await lab.must(room, process.execPath, [script, 'see', server[0], `${server[1]}`, `${sourcePort}`])).trim()
}
