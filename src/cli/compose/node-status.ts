import { endpointText } from '#ntm-lib/addr/endpoint.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import type { NodeConfig } from '../config/schema.ts'
import type { BoxStatus } from './box-status.ts'
import type { Status } from './control.ts'
import type { NodeNames } from './node-names.ts'

export type NodeFacts = {
  readonly box: BoxStatus
  readonly zones: readonly string[]
  readonly device: string
  readonly names: NodeNames
  readonly dns: NodeConfig['dns']
}

/** The terminal's status as JSON; `ntm status` prints it as text. */
export const nodeStatus = (f: NodeFacts, now: Instant): Status => ({
  ...f.box.head(),
  device: f.device,
  names: {
    mode: f.names.mode,
    listen: endpointText(f.dns.listen),
    zones: f.zones,
    servers: f.names.forwarder.servers.map(endpointText),
  },
  ...f.box.tail(now),
})
