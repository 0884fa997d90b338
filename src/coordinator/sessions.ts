import type { NodeId } from '#ntm-lib/addr/ids.ts'
import type { Instant, Millis } from '#ntm-lib/base/time.ts'
import type { ControlPeer, TransactionKey } from '#ntm-lib/negotiate/control-events.ts'
import type { Request, Response } from '#ntm-lib/wire/message.ts'

/** The control sessions as the coordinator uses them: sealed, retransmitted, answered from a cache when repeated. */
export interface Sessions {
  /** Answers a request once. A transaction whose node has gone is ignored. */
  respond(transaction: TransactionKey, response: Response, now: Instant): void
  /** Asks a node; `tag` comes back in one `response` or `silent` event. False when the node has no live session. */
  request(node: NodeId, tag: string, message: Request, timeout: Millis, now: Instant): boolean
  /** The live session of a node; null when it has none. */
  peer(node: NodeId): ControlPeer | null
  /** Ends the node's sessions without a word. */
  close(node: NodeId): void
}
