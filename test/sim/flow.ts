import type { Ip4 } from '#ntm-lib/addr/ip4.ts'
import { ip4Text } from '#ntm-lib/addr/ip4.ts'
import type { Instant, Millis } from '#ntm-lib/base/time.ts'
import { innerPacket } from '#test/support/inner.ts'
import type { BoxActor } from './actors.ts'
import type { Internet } from './internet.ts'

export type FlowWish = {
  readonly from: BoxActor
  readonly to: BoxActor
  /** Inner addresses. */
  readonly source: Ip4
  readonly destination: Ip4
  readonly every: Millis
  /** Inner packet, at least 40. */
  readonly bytes?: number
}

/** Numbered inner packets from one box to another at an even pace, as a download or a call sends them. */
export class Flow {
  sent = 0
  /** Packets that the path would not take: an application would be told so, but they are lost all the same. */
  unsent = 0
  readonly arrivals: { readonly nr: number; readonly at: Instant }[] = []
  readonly sentAt: Instant[] = []
  readonly #wish: FlowWish
  readonly #net: Internet
  #running = true
  readonly #mark: number

  constructor(net: Internet, wish: FlowWish) {
    this.#net = net
    this.#wish = wish
    this.#mark = marks++ & 0xffff
    const before = wish.to.onInner
    wish.to.onInner = (inner, now) => {
      before?.(inner, now)
      this.#onInner(inner, now)
    }
    this.#beat(net.now)
  }

  stop(): void {
    this.#running = false
  }

  /** Numbers that have not arrived. */
  get lost(): readonly number[] {
    const came = new Set(this.arrivals.map((a) => a.nr))
    return Array.from({ length: this.sent }, (_, nr) => nr).filter((nr) => !came.has(nr))
  }

  /** Of those sent before `then`, how many have not arrived. */
  lostBefore(then: number): number {
    return this.lost.filter((nr) => (this.sentAt[nr] ?? 0) < then).length
  }

  /** Of those sent at or after `since`, the numbers that have not arrived. */
  lostSince(since: number): readonly number[] {
    return this.lost.filter((nr) => (this.sentAt[nr] ?? 0) >= since)
  }

  /** Arrived more than once. */
  get doubled(): number {
    return this.arrivals.length - new Set(this.arrivals.map((a) => a.nr)).size
  }

  /** When the first packet arrived at or after `since`; infinite when none did. */
  firstAfter(since: Instant): number {
    return this.arrivals.find((a) => a.at >= since)?.at ?? Number.POSITIVE_INFINITY
  }

  /** The longest time without an arrival, from `since` on. */
  gapAfter(since: Instant): number {
    let [last, gap] = [since as number, 0]
    for (const { at } of this.arrivals) {
      if (at < since) continue
      gap = Math.max(gap, at - last)
      last = at
    }
    return Math.max(gap, this.#net.now - last)
  }

  #beat(now: Instant): void {
    if (!this.#running) return
    const { from, source, destination, every, bytes = 200 } = this.#wish
    const inner = innerPacket(ip4Text(source), ip4Text(destination), bytes)
    const view = new DataView(inner.buffer)
    view.setUint32(28, this.#mark)
    view.setUint32(32, this.sent++)
    this.sentAt.push(now)
    const path = from.tunnels.pathTo(destination)
    if (path === null || !from.say(path, inner, now)) this.unsent++
    this.#net.in(every, (then) => this.#beat(then))
  }

  #onInner(inner: Uint8Array, now: Instant): void {
    const view = new DataView(inner.buffer, inner.byteOffset, inner.byteLength)
    if (inner.length >= 36 && view.getUint32(28) === this.#mark) this.arrivals.push({ nr: view.getUint32(32), at: now })
  }
}

let marks = 1
