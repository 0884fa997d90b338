import type { Endpoint } from '../addr/endpoint.ts'
import type { Via } from '../addr/via.ts'
import type { Millis } from '../base/time.ts'
import type { Counters } from '../ports/counters.ts'
import type { Random } from '../ports/machine.ts'
import type { ControlClient } from './control-client.ts'
import type { MirrorCommand } from './mirror.ts'
import type { NodeEvent } from './node-events.ts'
import type { RegisterSelf } from './register.ts'
import type { RenewalParts } from './renewal.ts'
import type { Tunnels } from './tunnels.ts'

export type NodeOut =
  | { readonly out: 'send'; readonly to: Endpoint; readonly bytes: Uint8Array; readonly via: Via | null }
  | { readonly out: 'event'; readonly event: NodeEvent }
  /** For the packet workers, who must have it before what follows. */
  | { readonly out: 'mirror'; readonly command: MirrorCommand }

export type NodeParts = {
  readonly control: ControlClient
  readonly tunnels: Tunnels
  readonly self: RegisterSelf
  readonly membership: RenewalParts
  /** Forwards for others: `relay-asked` is told instead of refused. */
  readonly isRelay?: boolean
  readonly hash: (bytes: Uint8Array) => Uint8Array
  readonly counters: Counters
  readonly random: Random
  /** Whether the chain proves that who holds our control session is the network's coordinator. */
  readonly trusts: (coordinatorChain: readonly Uint8Array[]) => boolean
  /** How long a role waits for a direction, from asking to an open tunnel. */
  readonly directionTimeout: Millis
}
