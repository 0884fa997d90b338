import { type NodeId, nodeKey } from '../addr/ids.ts'
import type { Ip } from '../addr/ip.ts'
import type { Ip4 } from '../addr/ip4.ts'
import type { VirtualPair } from '../addr/virtual.ts'
import type { WallTime } from '../base/time.ts'

/** A box of this network: who it is, what it may be, and the virtual pair it keeps for ever. */
export type Member = {
  readonly node: NodeId
  /** X25519, 32 bytes. */
  readonly staticKey: Uint8Array
  /** Fully qualified, lower case, without the last dot. */
  readonly name: string
  /** Bits `ROLE_…`. */
  readonly roles: number
  /** Membership chain, leaf first, without the root. */
  readonly chain: readonly Uint8Array[]
  readonly pair: VirtualPair
  readonly revoked: boolean
  /** When a tunnel of this node last ended; servers' addresses stay quarantined for two hours after it. 0 = never. */
  readonly pathEnded: WallTime
}

/** A one-time enrolment token, as the coordinator keeps it. */
export type Token = {
  /** 8 bytes, sent in clear by the box. */
  readonly id: Uint8Array
  /** 32 bytes; never logged. */
  readonly psk: Uint8Array
  readonly name: string
  readonly roles: number
  /** The encoded grant that signs this box's membership; null when the issuer signs. */
  readonly grant: Uint8Array | null
  readonly expires: WallTime
  /** The node that consumed it; null while unused. */
  readonly usedBy: NodeId | null
  readonly usedAt: WallTime
  /** Refused enrolments with this token. */
  readonly failures: number
}

/** A host behind a bridge and the pair it keeps for ever. */
export type HostRow = {
  readonly node: NodeId
  /** 8 opaque bytes. */
  readonly host: Uint8Array
  readonly name: string
  readonly pair: VirtualPair
}

/** An ordinary server as one node sees it. */
export type ServerRow = {
  readonly node: NodeId
  readonly name: string
  readonly pair: VirtualPair
  readonly lastUsed: WallTime
  /** The address must not name another server before this time. */
  readonly quarantinedUntil: WallTime
}

/** The contract in force between two boxes. The path secret is never here. */
export type ContractRow = {
  readonly initiator: NodeId
  readonly correspondent: NodeId
  /** H(contract), 32 bytes. */
  readonly hash: Uint8Array
  readonly bytes: Uint8Array
  readonly leaseUntil: WallTime
}

/** A box of another zone, as that zone's coordinator told of it: kept for as long as contracts with it may live. */
export type ForeignRow = {
  readonly node: NodeId
  readonly zone: string
  readonly name: string
  /** Leaf first, without the root. */
  readonly chain: readonly Uint8Array[]
}

/**
 * The coordinator's durable state. Synchronous: a direction is answered only after what it promised is on disk.
 * Every method may throw an `IoFault` when the machine fails; rows handed out are the caller's to keep.
 */
export interface CoordinatorStore {
  /**
   * All or nothing: when `work` throws nothing of it stays. A nested call joins the outer transaction. `soon`: what was written survives our own end at
   * once, but a power cut only when the disk has taken it, which is begun and not waited for.
   */
  transaction<T>(work: () => T, disk?: 'now' | 'soon'): T

  member(node: NodeId): Member | null
  memberByName(name: string): Member | null
  /** By virtual address of either family. */
  memberByVip(vip: Ip): Member | null
  members(): Member[]
  /** Inserts or replaces. */
  putMember(member: Member): void

  token(id: Uint8Array): Token | null
  putToken(token: Token): void

  /** The node a name was first given to; names are pinned for ever. */
  pinnedTo(name: string): NodeId | null
  pin(name: string, node: NodeId): void

  host(node: NodeId, host: Uint8Array): HostRow | null
  hostByVip(vip: Ip): HostRow | null
  hostsOf(node: NodeId): HostRow[]
  putHost(row: HostRow): void
  /** Highest IPv4 address ever given to a member or a host; null when none was. */
  highestNodeVip4(): Ip4 | null

  servers(): ServerRow[]
  /** Inserts or replaces the row of this (node, name). */
  putServer(row: ServerRow): void
  removeServer(node: NodeId, name: string): void

  /** The pair in either order. */
  contract(a: NodeId, b: NodeId): ContractRow | null
  contractByHash(hash: Uint8Array): ContractRow | null
  contractsOf(node: NodeId): ContractRow[]
  /** How many contracts this node has, expired ones too; cheap. */
  contractCount(node: NodeId): number
  putContract(row: ContractRow): void
  removeContract(a: NodeId, b: NodeId): void

  foreign(node: NodeId): ForeignRow | null
  /** Inserts or replaces. */
  putForeign(row: ForeignRow): void

  /** Counters and versions by name; 0 when never set. */
  number(key: NumberKey): number
  putNumber(key: NumberKey, value: number): void
  close(): void
}

/** `serial`: last certificate serial given. `zone-serial`: SOA serial. */
export type NumberKey = 'revocation-version' | 'serial' | 'zone-serial'

/** One key for a pair of nodes, whichever is named first. */
export function pairKey(a: NodeId, b: NodeId): string {
  const [x, y] = lower(a, b) ? [a, b] : [b, a]
  return `${nodeKey(x)}-${nodeKey(y)}`
}

/** Whether `a` sorts before `b`; the lower Node ID wins where two directions cross. */
export function lower(a: NodeId, b: NodeId): boolean {
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] ?? 0, b[i] ?? 0]
    if (x !== y) return x < y
  }
  return false
}
