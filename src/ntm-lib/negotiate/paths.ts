import type { Endpoint } from '../addr/endpoint.ts'
import { type NodeId, nodeKey, type PathId } from '../addr/ids.ts'
import type { Prefix } from '../addr/prefix.ts'
import type { Via } from '../addr/via.ts'
import { hex } from '../base/hex.ts'
import type { Instant, Millis } from '../base/time.ts'
import type { Direction } from '../crypto/schedule.ts'
import type { Certificate } from '../wire/certificate.ts'
import type { Contract } from '../wire/contract.ts'
import type { PathRole } from '../wire/messages/common.ts'
import type { Whereabouts } from '../wire/messages/direction.ts'
import type { Allowed } from './filter.ts'
import type { Halves } from './halves.ts'
import { CELLS, type MirroredAhead } from './mirror.ts'
import type { MtuSearch } from './mtu.ts'
import type { Leg } from './relay-leg.ts'
import type { Address } from './tunnel-address.ts'
import type { Alive } from './tunnel-alive.ts'
import type { Asking } from './tunnel-ask.ts'
import { type Epochs, noEpochs } from './tunnel-epochs.ts'
import type { Bond, Outstanding } from './tunnel-handshake.ts'
import type { Ways } from './ways.ts'

/** Who is at the far end, as its certificate says. */
export type PathPeer = {
  readonly node: NodeId
  readonly name: string
  /** Bits `ROLE_…`. */
  readonly roles: number
  readonly certificate: Certificate
}

/** The last Tunnel Request of the peer's that we answered. */
export type Accepted = {
  readonly tryNumber: number
  readonly epoch: number
  /** H of the request without its tag 2. */
  readonly digest: Uint8Array
  /** Answers duplicates; null once the peer has shown that it got it. */
  readonly response: Uint8Array | null
}

/**
 * The acceptor's path before anything genuine came (D-0008): it may seal in its first epoch already, but only so much as the
 * address that asked has earned.
 */
export type Early = {
  /** Where the Tunnel Request came from: also `address`, which nothing has proven yet. */
  readonly to: Endpoint
  /** Names the allowance to packet workers, `MirroredAhead`. */
  readonly serial: number
  /** Bytes of datagrams that may go there in all. */
  readonly bytes: number
  /** Of these, what this thread has sent. */
  readonly out: number
}

/** When the acceptor knocks at the opener's candidates next. */
export type Knocking = { readonly copies: number; readonly at: Instant }

export type PathStart = {
  readonly row: number
  readonly cells: Float64Array
  readonly contractHash: Uint8Array
  readonly contract: Contract
  readonly role: PathRole
  readonly peer: PathPeer
  readonly bond: Bond
  readonly ownAllowed: Allowed
  readonly peerAllowed: Allowed
  readonly halves: Halves
  readonly whereabouts: Whereabouts
  readonly leaseUntil: Instant
  readonly now: Instant
}

/**
 * One path: everything an end keeps about its tunnel with one peer (`docs/wire.md`, State). Only this folder changes
 * it; others read. Its secrets live inside `bond.secrets` and the key objects, which never print.
 */
export class Path {
  /** Small number that names it to packet workers and roles; `tunnel-rows.ts`. */
  readonly row: number
  /** What changes with every packet; `CELLS`. */
  readonly cells: Float64Array
  readonly contractHash: Uint8Array
  /** Map key, and what logs call the path: it says nothing to who does not hold the contract. */
  readonly key: string
  readonly contract: Contract
  readonly role: PathRole
  readonly peer: PathPeer
  /** `nodeKey` of the peer. */
  readonly peerKey: string
  /** Our D on the wire. */
  readonly direction: Direction
  readonly installedAt: Instant
  /** The id we send on; the contract's next after each move of ours that nobody could prepare. */
  id: PathId

  state: 'provisional' | 'open' | 'gone' = 'provisional'
  openedAt: Instant | null = null
  leaseUntil: Instant
  /** A newer path with the same peer is open: this one only receives, and closes then. */
  replacedUntil: Instant | null = null
  candidates: readonly Endpoint[] = []
  /** What the coordinator says of the peer's place and of a relay; replaced by `relocate`. */
  whereabouts: Whereabouts
  /** Ours at the relay of `whereabouts`; null while there is no use for it. */
  leg: Leg | null = null
  early: Early | null = null
  knocking: Knocking | null = null
  /** When the opener's first request is to be made: what others wait for goes before it. */
  beginAt: Instant | null = null
  /** Knocks sent, and the newest one heard of the peer's. */
  knocks = { sent: 0, heard: 0 }
  /** Largest inner packet the peer takes. */
  peerInnerMtu = 0
  rtt: Millis | null = null

  readonly bond: Bond
  readonly ownAllowed: Allowed
  readonly peerAllowed: Allowed
  readonly halves: Halves
  asking: Asking = { at: 'idle' }
  outstanding: Outstanding | null = null
  tries = 0
  cookie: Uint8Array | null = null
  /** The try that was already sent again with a cookie. */
  cookieFor = 0
  accepted: Accepted | null = null
  /** When our unproven response goes again by itself; only while open, to the proven address. */
  answerAgain: { readonly copies: number; readonly at: Instant } | null = null
  epochs: Epochs = noEpochs
  /** When we propose the next epoch. */
  rekeyAt: Instant | null = null
  /** Copies of `ready` sent for an epoch we began and nothing came back in; null when something has. */
  ready: { readonly copies: number; readonly at: Instant } | null = null
  address: Address | null = null
  /** Out of which of our own ways datagrams to the peer leave; null: the kernel chooses. */
  via: Via | null = null
  /** What goes at once to where the peer speaks from, before it has proven that; null when nothing is in doubt. */
  ahead: MirroredAhead | null = null
  /** What packets sealed in this thread have taken of it. */
  aheadUsed = { serial: 0, bytes: 0 }
  /** The way out of ours that we were on when we lost all of them; null when that is not so. */
  adrift: Via | null = null
  /** How else the peer could be reached; null until open. */
  ways: Ways | null = null
  alive: Alive | null = null
  /** Whether a NAT or filter before us may forget us unless we speak. */
  keepsMapping = false
  mtu: MtuSearch | null = null
  peerReset: { readonly id: number; readonly token: Uint8Array } | null = null
  /** A reset came: it counts when nothing genuine comes before this. */
  resetAt: Instant | null = null

  constructor(s: PathStart) {
    this.row = s.row
    this.cells = s.cells
    this.contractHash = s.contractHash
    this.key = hex(s.contractHash)
    this.contract = s.contract
    this.role = s.role
    this.peer = s.peer
    this.peerKey = nodeKey(s.peer.node)
    this.direction = s.bond.direction
    this.installedAt = s.now
    this.id = s.contract.pathIds[0]
    this.leaseUntil = s.leaseUntil
    this.bond = s.bond
    this.ownAllowed = s.ownAllowed
    this.peerAllowed = s.peerAllowed
    this.halves = s.halves
    this.whereabouts = s.whereabouts
  }

  get isOpen(): boolean {
    return this.state === 'open'
  }

  /** The peer's real address; null before the first genuine packet. */
  get peerEndpoint(): Endpoint | null {
    return this.address?.current ?? null
  }

  /** What logs call it. */
  get label(): string {
    return this.key.slice(0, 12)
  }

  /** Inner sources of the peer: what the path leads to. */
  get peerPrefixes(): readonly Prefix[] {
    return this.role === 'opener' ? this.contract.acceptorAllowed : this.contract.openerAllowed
  }

  /** Inner sources of ours. */
  get ownPrefixes(): readonly Prefix[] {
    return this.role === 'opener' ? this.contract.openerAllowed : this.contract.acceptorAllowed
  }

  /** A whole inner packet went out. */
  countOut(bytes: number): void {
    add(this.cells, CELLS.packetsOut, 1)
    add(this.cells, CELLS.bytesOut, bytes)
  }

  /** A whole inner packet was let in. */
  countIn(bytes: number): void {
    add(this.cells, CELLS.packetsIn, 1)
    add(this.cells, CELLS.bytesIn, bytes)
  }
}

function add(cells: Float64Array, at: number, count: number): void {
  cells[at] = (cells[at] ?? 0) + count
}
