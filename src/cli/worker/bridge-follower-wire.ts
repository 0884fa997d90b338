import type { BridgeFollower } from '#bridge/follower.ts'
import type { PortCounters } from '#io/native.ts'
import { type InterfacePort, openPacketSocket, openTap } from '#io/packet-native.ts'
import type { ThreadLink } from '#io/thread-link.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import { type SuperBatch, superBatch } from '#ntm-lib/ports/packet-port.ts'
import { FollowerRounds } from './bridge-follower-rounds.ts'
import type { BridgeFromPlane, WireNames } from './bridge-words.ts'
import { Leg } from './leg.ts'
import { Presence } from './presence.ts'
import type { RoleParts } from './role-plane.ts'

export type FollowerWireParts = Pick<RoleParts<BridgeFromPlane>, 'plane' | 'counters' | 'clock' | 'tell'> & {
  readonly core: BridgeFollower
  readonly link: ThreadLink
}

/** A follower's ports: a queue of the TAP and a socket towards the host of its own. */
export class FollowerWire {
  readonly #p: FollowerWireParts
  readonly #tap: InterfacePort
  readonly #host: InterfacePort
  readonly #rounds: FollowerRounds
  readonly #in = superBatch(SLOTS)
  readonly #presence: Presence

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
      this.#rounds = new FollowerRounds({ ...parts, leg: new Leg(this.#host) })
      for (const port of open) port.onGone(gone(port.name))
      this.#tap.onReadable(() => this.#onTap())
    } catch (fault) {
      this.#presence.stop()
      for (const port of open) port.close()
      throw fault
    }
  }

  inner(row: number, b: SuperBatch, i: number, now: Instant): void {
    this.#rounds.inner(row, b, i, now)
  }

  afterOpen(): void {
    this.#rounds.afterOpen()
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
      for (let i = 0; i < n; i++) bytes += b.lens[i] ?? 0
      this.#rounds.frames(b, this.#presence.isQuiet(now), now)
      if (n < SLOTS) return
    }
  }
}

const SLOTS = 32
const ROUNDS = 8
const TURN_BYTES = 1 << 20
