import type { Endpoint } from '../addr/endpoint.ts'
import type { Expiring } from '../base/expiring.ts'
import { after, type Instant } from '../base/time.ts'
import { checkTag1 } from '../crypto/cookie.ts'
import { TYPE_KNOCK, TYPE_TUNNEL_COOKIE, TYPE_TUNNEL_REQUEST, TYPE_TUNNEL_RESPONSE } from '../wire/handshake.ts'
import { DIRECTION_BIT, type Header } from '../wire/header.ts'
import type { Path } from './paths.ts'
import { TIMERS } from './timers.ts'
import { HANDSHAKE_BYTES, Load, onRequest, type Parked, parking } from './tunnel-accept.ts'
import { type Core, drop, send, touch } from './tunnel-core.ts'
import { onCookie, onResponse, peerDirection } from './tunnel-open.ts'
import { onKnock } from './tunnel-setup.ts'

/** Where tunnel handshakes come in: everything up to tag 1 costs hashes only, and what came too early waits. */
export class Front {
  readonly #core: Core
  readonly #load: Load
  readonly #parked: Expiring<number, Parked> = parking()

  constructor(core: Core) {
    this.#core = core
    this.#load = new Load(core.settings.handshakesPerSecond)
  }

  /** A class 3 datagram. Total. */
  handle(header: Header, from: Endpoint, bytes: Uint8Array, now: Instant): void {
    const core = this.#core
    const type = header.flags & ~DIRECTION_BIT
    if (bytes.length !== HANDSHAKE_BYTES[type]) return drop(core, 'malformed')
    const path = core.paths.byId(header.id)
    if (path === null) {
      if (type !== TYPE_TUNNEL_REQUEST) return drop(core, 'unknown-path')
      core.counters.count('ntm.tunnel.parked')
      this.#parked.set(header.id, { from, bytes: new Uint8Array(bytes) }, after(now, TIMERS.parkedRequest.millis))
      return
    }
    const sender = (header.flags & DIRECTION_BIT) === 0 ? 0 : 1
    if (sender !== peerDirection(path)) return drop(core, 'wrong-direction')
    touch(core, path, now)
    if (type === TYPE_TUNNEL_COOKIE) return onCookie(core, path, header, bytes, now)
    if (type === TYPE_KNOCK) return onKnock(core, path, header, from, bytes)
    if (!checkTag1(core.suite, bytes, path.bond.secrets.tagKey(sender))) return drop(core, 'bad-tag')
    if (type === TYPE_TUNNEL_RESPONSE) return onResponse(core, path, header, from, bytes, now)
    onRequest(core, this.#load, path, header, from, bytes, now)
  }

  /** The path is known now: what overtook its direction is taken. `take` gets it as it came. */
  unpark(path: Path, take: (from: Endpoint, bytes: Uint8Array) => void): void {
    for (const id of path.contract.pathIds) {
      const parked = this.#parked.get(id)
      if (parked === undefined) continue
      this.#parked.delete(id)
      take(parked.from, parked.bytes)
    }
  }

  tick(now: Instant): void {
    for (const [id, { from, bytes }] of this.#parked.sweep(now)) {
      const reset = this.#core.resets.answer(id, bytes.length, now)
      if (reset !== null) send(this.#core, from, reset)
    }
  }

  deadline(): Instant | null {
    return this.#parked.deadline()
  }
}
