import type { ToFollower } from '#bridge/follow-words.ts'
import type { BridgeFollower } from '#bridge/follower.ts'
import type { ThreadLink } from '#io/thread-link.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import type { TunnelPlane } from '#ntm-lib/plane/tunnel-plane.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import { type SuperBatch, slotAt } from '#ntm-lib/ports/packet-port.ts'
import { HANDED } from './bridge-lead.ts'
import { REFUSED } from './bridge-wire.ts'
import type { Leg } from './leg.ts'

/**
 * Takes what the lead says. A decision only while nothing that was handed over is on its way: it would hold for what comes next,
 * which would overtake that. The lead tells it again with the next packet.
 */
export function hearLead(link: Pick<ThreadLink, 'serve' | 'isSettled'>, told: (word: ToFollower) => void): void {
  link.serve({
    // The lead hands nothing over.
    packets: () => {},
    word: (word) => {
      const said = word as ToFollower
      if (said.say === 'versions' || link.isSettled) told(said)
    },
  })
}

export type RoundParts = {
  readonly core: BridgeFollower
  readonly link: Pick<ThreadLink, 'hand' | 'flush' | 'settle'>
  readonly plane: Pick<TunnelPlane, 'put' | 'flush'>
  /** Towards the host. */
  readonly leg: Pick<Leg, 'add' | 'flush'>
  readonly counters: Counters
}

/**
 * What a follower does with a round of packets. What it knows leaves first; then the rest goes to the lead, and the round does not end before the lead has
 * sent that on: so no packet overtakes another of its flow, and what comes meanwhile waits in the kernel.
 */
export class FollowerRounds {
  readonly #p: RoundParts
  /** Something was handed over since the last settling, of a kind that the lead may decide about. */
  #handed = false

  constructor(parts: RoundParts) {
    this.#p = parts
  }

  /** Frames from the TAP; `late`: this thread was away for a while before. */
  frames(b: SuperBatch, late: boolean, now: Instant): void {
    for (let i = 0; i < b.count; i++) this.#frame(b, i, late ? HANDED.lateFrame : HANDED.frame, now)
    this.#p.plane.flush(now)
    this.#settle()
  }

  /** A packet out of a tunnel; it leaves at `afterOpen`. */
  inner(row: number, b: SuperBatch, i: number, now: Instant): void {
    const { core, link, leg } = this.#p
    const at = slotAt(b, i)
    const len = b.lens[i] ?? 0
    const gso = b.gso[i] ?? 0
    if (core.fromTunnel(b.view, at, len, gso, now) === 'to-host') {
      leg.add(b.arena, core.toHost.at, core.toHost.len, core.toHost.gso)
      return
    }
    link.hand(HANDED.inner, row, b.arena, at, len, gso)
    this.#handed = true
  }

  afterOpen(): void {
    this.#p.leg.flush()
    this.#settle()
  }

  #frame(b: SuperBatch, i: number, kind: number, now: Instant): void {
    const { core, link, plane, counters } = this.#p
    const verdict = core.fromTap(b, i, now)
    if (verdict === 'to-tunnel') {
      const { at, len, gso, tunnel } = core.toTunnel
      const said = plane.put(tunnel, b, at, len, gso, now)
      if (said !== 'queued') counters.count(REFUSED[said])
      return
    }
    link.hand(kind, 0, b.arena, slotAt(b, i), b.lens[i] ?? 0, b.gso[i] ?? 0)
    if (verdict === 'hand') this.#handed = true
  }

  #settle(): void {
    if (this.#handed) this.#p.link.settle()
    else this.#p.link.flush()
    this.#handed = false
  }
}
