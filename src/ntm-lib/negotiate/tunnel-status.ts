import { endpointText } from '../addr/endpoint.ts'
import { nodeKey } from '../addr/ids.ts'
import { isIp4 } from '../addr/ip.ts'
import type { Via } from '../addr/via.ts'
import { between, type Instant, type Millis } from '../base/time.ts'
import type { PathRole } from '../wire/messages/common.ts'
import { CELLS } from './mirror.ts'
import type { Path } from './paths.ts'

/**
 * Why a path goes through a relay, as far as this end knows. `seed`: the coordinator wants it so (SEED 002 §3.3, `route.optimise`). `no-address`: it
 * named no place of the peer's. `no-common-family`: none of a family that we have. `both-natted`: neither end can be spoken to first, and no check
 * has been answered yet. `unanswered`: one of them should be reachable, and nothing came back.
 */
export type WhyRelayed = 'seed' | 'no-address' | 'no-common-family' | 'both-natted' | 'unanswered'

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
  /** Null while it goes directly. */
  readonly why: WhyRelayed | null
  /** Rounds of looking for a direct way that found none since it last changed its way. */
  readonly rounds: number
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

/** `vias`: our own ways out; none when the kernel chooses and nobody told us. */
export function whyRelayed({ ways, whereabouts, candidates }: Relayed, vias: readonly Via[]): WhyRelayed | null {
  if (ways === null || ways.used.kind === 'direct') return null
  if (whereabouts.optimise === 'seed' && whereabouts.way === 'relay') return 'seed'
  if (candidates.length === 0) return 'no-address'
  const common = candidates.some((c) => vias.some((v) => isIp4(v.ip) === isIp4(c.ip)))
  if (vias.length > 0 && !common) return 'no-common-family'
  return whereabouts.way === 'relay' ? 'both-natted' : 'unanswered'
}

type Relayed = Pick<Path, 'ways' | 'whereabouts' | 'candidates'>
export type Sizes = { readonly whole: number; readonly inner: number }

export const statusOf = (p: Path, sizes: Sizes, vias: readonly Via[], now: Instant): PathStatus => ({
  path: p.label,
  peer: nodeKey(p.peer.node),
  peerName: p.peer.name,
  role: p.role,
  state: p.state,
  way: p.ways?.used.kind ?? 'direct',
  why: whyRelayed(p, vias),
  rounds: p.ways?.rounds ?? 0,
  at: p.peerEndpoint === null ? null : endpointText(p.peerEndpoint),
  epoch: p.epochs.cur?.epoch ?? 0,
  openFor: p.openedAt === null ? null : between(p.openedAt, now),
  lastInnerAgo: p.alive === null ? null : between(p.alive.lastInner, now),
  rtt: p.rtt,
  silent: p.alive?.silent ?? false,
  wholeMtuBytes: sizes.whole,
  innerMtuBytes: sizes.inner,
  innerPacketsIn: p.cells[CELLS.packetsIn] ?? 0,
  innerPacketsOut: p.cells[CELLS.packetsOut] ?? 0,
  innerBytesIn: p.cells[CELLS.bytesIn] ?? 0,
  innerBytesOut: p.cells[CELLS.bytesOut] ?? 0,
})
