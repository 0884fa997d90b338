import type { NodeId } from '../addr/ids.ts'
import type { Ip } from '../addr/ip.ts'
import type { Request, Response } from '../wire/message.ts'
import type { Target } from '../wire/messages/common.ts'
import type { PathExtend, RouteDirection, Sought, Way } from '../wire/messages/direction.ts'
import type { RefusalCode } from '../wire/messages/refusal.ts'
import type { RegistrationResponse } from '../wire/messages/registration.ts'
import type { RelayDirection, RelayRelease } from '../wire/messages/relay.ts'
import type { TransactionKey } from './control-events.ts'

/** A direction that a role wants: who is sought, and which virtual addresses will use the path. */
export type Wanted = {
  readonly sought: Sought
  readonly why: 'dns' | 'data' | 'moved'
  readonly sources: readonly Ip[]
}

export type Directed =
  /** The path is open. */
  | { readonly ok: true; readonly contractHash: Uint8Array; readonly row: number; readonly target: Target | null }
  | { readonly ok: false; readonly code: RefusalCode | 'timeout'; readonly text: string }

/** What one node's negotiation tells its role. */
export type NodeEvent =
  | { readonly event: 'enrolled'; readonly chain: readonly Uint8Array[] }
  /** A fresh membership in place of the one that comes to its end; to be kept and used from now on. */
  | { readonly event: 'renewed'; readonly chain: readonly Uint8Array[] }
  | { readonly event: 'registered'; readonly answer: RegistrationResponse; readonly first: boolean }
  | { readonly event: 'refused'; readonly code: RefusalCode; readonly text: string }
  | { readonly event: 'offline' }
  | { readonly event: 'directed'; readonly tag: string; readonly result: Directed }
  /**
   * The coordinator directs a path towards us; the role answers with `accept` or `decline`. `terminating` carries the
   * server to be resolved.
   */
  | {
      readonly event: 'asked'
      readonly transaction: TransactionKey
      readonly message: RouteDirection | PathExtend
    }
  /** Of a relay only: the coordinator directs, or takes back, a path to be forwarded; the role answers with `respond`. */
  | {
      readonly event: 'relay-asked'
      readonly transaction: TransactionKey
      readonly message: RelayDirection | RelayRelease
    }
  /** `row` names the path to packet workers and roles: `Path.row`. */
  | { readonly event: 'path-open'; readonly contractHash: Uint8Array; readonly row: number }
  /** What fits into the path changed. */
  | { readonly event: 'path-mtu'; readonly contractHash: Uint8Array; readonly row: number }
  /** It goes straight to the peer now, or through a relay. */
  | { readonly event: 'path-way'; readonly contractHash: Uint8Array; readonly row: number; readonly way: Way }
  | {
      readonly event: 'path-gone'
      readonly contractHash: Uint8Array
      readonly row: number
      readonly peer: NodeId
      readonly why: string
    }

/** What leaves a control client. */
export type ControlClientEvent =
  | { readonly event: 'session' }
  | { readonly event: 'request'; readonly transaction: TransactionKey; readonly message: Request }
  | { readonly event: 'response'; readonly tag: string; readonly message: Response }
  | { readonly event: 'silent'; readonly tag: string }
  | { readonly event: 'lost' }
  /** The token became a membership; `chain` is to be kept for ever. */
  | { readonly event: 'enrolled'; readonly chain: readonly Uint8Array[] }
  | { readonly event: 'refused'; readonly code: RefusalCode; readonly text: string }
