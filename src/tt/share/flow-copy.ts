import { type Ip, isIp4 } from '#ntm-lib/addr/ip.ts'
import type { Ip6 } from '#ntm-lib/addr/ip6.ts'
import type { FlowSide } from '../flow-side.ts'
import { flowSide } from '../flow-side.ts'
import type { Flow } from '../flows.ts'

/**
 * What passes between the worker that holds a terminator's flows (the lead) and those that only help to carry them (followers).
 * Plain values, all on one ordered channel per follower, on which the follower's handed packets go too.
 */

/** A side of a flow as a plain value. */
export type SideCopy = {
  readonly protocol: number
  readonly source: Ip
  readonly sourcePort: number
  readonly destination: Ip
  readonly destinationPort: number
}

/** A flow that a follower may carry by itself. `id` names it among all of this lead's. */
export type FlowCopy = {
  readonly id: number
  /** `nodeKey` of the box that it belongs to: which tunnel leads there, every worker knows. */
  readonly peer: string
  /** Of the egress policy that let it through. */
  readonly version: number
  readonly inner: SideCopy
  readonly edge: SideCopy
}

/** A lead's message: `offers` come before `voids` of the same message. */
export type ToFollower = {
  readonly offers?: readonly FlowCopy[]
  /** Ids of flows that are no more. */
  readonly voids?: readonly number[]
  /** Ids of flows that may be carried for another while. */
  readonly renewed?: Float64Array
  /** All that the follower said before this fence has been done, and all that came in from the edge at the lead before it. */
  readonly passed?: number
}

/** A follower's message. */
export type ToLead = {
  /** Asks for `passed`. */
  readonly fence?: number
  /** Flows that were used or ended since they were last told of: `USE_WORD` times the id, plus `USED_OUT` and `USED_IN`, plus what it ended as in `Flow.seen`. */
  readonly used?: Float64Array
}

export const USE_WORD = 32
/** Directions in which a flow was used. */
export const USED_OUT = 1
export const USED_IN = 2

export const copyOf = (flow: Flow, id: number): FlowCopy => ({
  id,
  peer: flow.node.key,
  version: flow.allowedBy,
  inner: sideCopy(flow.inner),
  edge: sideCopy(flow.edge),
})

export const sideOf = ({ protocol, source, sourcePort, destination, destinationPort }: SideCopy): FlowSide =>
  flowSide(protocol, source, sourcePort, destination, destinationPort)

/** A clone takes along all of the memory that a view looks at: addresses get memory of their own. */
const sideCopy = ({ protocol, source, sourcePort, destination, destinationPort }: FlowSide): SideCopy => ({
  protocol,
  source: alone(source),
  sourcePort,
  destination: alone(destination),
  destinationPort,
})

const alone = (ip: Ip): Ip => (isIp4(ip) ? ip : (new Uint8Array(ip) as Ip6))
