import { endpointText } from '../addr/endpoint.ts'
import { nodeKey } from '../addr/ids.ts'
import { between, type Instant, type Millis } from '../base/time.ts'
import type { PathRole } from '../wire/messages/common.ts'
import { CELLS } from './mirror.ts'
import type { Path } from './paths.ts'

/** One path as status pages show it. No key, no contract, no Path ID. */
export type PathStatus = {
  /** Start of the contract's hash. */
  readonly path: string
  readonly peer: string
  readonly peerName: string
  readonly role: PathRole
  readonly state: 'provisional' | 'open' | 'gone'
  /** Whether its packets go through a relay now. */
  readonly way: 'direct' | 'relay'
  /** Real address of the peer; null before it spoke. */
  readonly at: string | null
  readonly epoch: number
  readonly openFor: Millis | null
  readonly lastInnerAgo: Millis | null
  readonly rtt: Millis | null
  readonly silent: boolean
  readonly wholeMtuBytes: number
  readonly innerMtuBytes: number
  readonly innerPacketsIn: number
  readonly innerPacketsOut: number
  readonly innerBytesIn: number
  readonly innerBytesOut: number
}

export const statusOf = (p: Path, wholeMtuBytes: number, innerMtuBytes: number, now: Instant): PathStatus => ({
  path: p.label,
  peer: nodeKey(p.peer.node),
  peerName: p.peer.name,
  role: p.role,
  state: p.state,
  way: p.ways?.used.kind ?? 'direct',
  at: p.peerEndpoint === null ? null : endpointText(p.peerEndpoint),
  epoch: p.epochs.cur?.epoch ?? 0,
  openFor: p.openedAt === null ? null : between(p.openedAt, now),
  lastInnerAgo: p.alive === null ? null : between(p.alive.lastInner, now),
  rtt: p.rtt,
  silent: p.alive?.silent ?? false,
  wholeMtuBytes,
  innerMtuBytes,
  innerPacketsIn: p.cells[CELLS.packetsIn] ?? 0,
  innerPacketsOut: p.cells[CELLS.packetsOut] ?? 0,
  innerBytesIn: p.cells[CELLS.bytesIn] ?? 0,
  innerBytesOut: p.cells[CELLS.bytesOut] ?? 0,
})
