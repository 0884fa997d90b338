import type { BridgeFollower } from '#bridge/follower.ts'
import type { PortCounters } from '#io/native.ts'
import { type InterfacePort, openPacketSocket, openTap } from '#io/packet-native.ts'
import type { ThreadLink } from '#io/thread-link.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import { type SuperBatch, slotAt, superBatch } from '#ntm-lib/ports/packet-port.ts'
import { HANDED } from './bridge-lead.ts'
import { REFUSED } from './bridge-wire.ts'
import type { BridgeFromPlane, WireNames } from './bridge-words.ts'
import { Leg } from './leg.ts'
import { Presence } from './presence.ts'
import type { RoleParts } from './role-plane.ts'

export type FollowerWireParts = Pick<RoleParts<BridgeFromPlane>, 'plane' | 'counters' | 'clock' | 'tell'> & {
  readonly core: BridgeFollower
  readonly link: ThreadLink
}

/**
 * A follower's packet loop: a queue of the TAP and a socket towards the host of its own. After a round in which a flow's packets went to the lead nothing more is
 * read until the lead has sent them on: what comes meanwhile waits in the kernel, and no packet overtakes another of its flow.
 */
export class FollowerWire {
  readonly #p: FollowerWireParts
  readonly #tap: InterfacePort
  readonly #host: InterfacePort
  readonly #leg: Leg
  readonly #in = superBatch(SLOTS)
  readonly #presence: Presence
  /** Something was handed over since the last settling, of a kind that the lead may decide about. */
  #handed = false

  /** Opens both ports and starts reading. IoFault when one is refused; none stays open then. */
  constructor(parts: FollowerWireParts, names: WireNames) {
    this.#p = parts
    this.#presence = new Presence(parts.clock)
    const gone = (name: string) => () => parts.tell({ out: 'port-gone', name })
    const open: InterfacePort[] = []
    try {
      this.#tap = openTap(names.tap, { offloads: true, multiQueue: true })
      open.push(this.#tap)
      this.#host = openPacketSocket(names.host, { receive: false })
      open.push(this.#host)
      this.#leg = new Leg(this.#host)
      for (const port of open) port.onGone(gone(port.name))
      this.#tap.onReadable(() => this.#onTap())
    } catch (fault) {
      this.#presence.stop()
      for (const port of open) port.close()
      throw fault
    }
  }

  inner(row: number, b: SuperBatch, i: number, now: Instant): void {
    const { core, link } = this.#p
    const [at, len, gso] = [slotAt(b, i), b.lens[i] ?? 0, b.gso[i] ?? 0]
    if (core.fromTunnel(b.view, at, len, gso, now) === 'to-host')
      this.#leg.add(b.arena, core.toHost.at, core.toHost.len, core.toHost.gso)
    else {
      link.hand(HANDED.inner, row, b.arena, at, len, gso)
      this.#handed = true
    }
  }

  afterOpen(): void {
    this.#leg.flush()
    this.#settle()
  }

  *ports(): Iterable<readonly [name: string, counts: PortCounters]> {
    yield ['tap', this.#tap.counters]
    yield ['host', this.#host.counters]
  }

  close(): void {
    this.#presence.stop()
    this.#tap.close()
    this.#host.close()
  }

  /** A bounded turn, as the lead's. */
  #onTap(): void {
    const b = this.#in
    for (let round = 0, bytes = 0; round < ROUNDS && bytes < TURN_BYTES; round++) {
      const n = this.#tap.recvSuper(b)
      if (n === 0) return
      const now = this.#p.clock.now()
      const kind = this.#presence.isQuiet(now) ? HANDED.lateFrame : HANDED.frame
      for (let i = 0; i < n; i++) {
        bytes += b.lens[i] ?? 0
        this.#frame(b, i, kind, now)
      }
      this.#p.plane.flush(now)
      this.#settle()
      if (n < SLOTS) return
    }
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

  /** Ours has left: now the lead gets the rest. */
  #settle(): void {
    if (this.#handed) this.#p.link.settle()
    else this.#p.link.flush()
    this.#handed = false
  }
}

const SLOTS = 32
const ROUNDS = 8
const TURN_BYTES = 1 << 20
