import { type Ip, sameIp } from '#ntm-lib/addr/ip.ts'
import { ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import { ip6FromBytes } from '#ntm-lib/addr/ip6.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import type { MirrorCommand } from '#ntm-lib/negotiate/mirror.ts'
import { UnknownAddresses, type Waiting } from '#ntm-lib/plane/unknown-addresses.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Clock } from '#ntm-lib/ports/machine.ts'
import type { TunOut } from './tun-words.ts'

export type TunAsksParts = {
  readonly tell: (out: TunOut) => void
  /** Whether packets to this address would find their path now. */
  readonly leads: (vip: Ip) => boolean
  /** The packets that waited for an address: there is a path now, or there is none. */
  readonly done: (waited: readonly Waiting<null>[], found: boolean, now: Instant) => void
  readonly counters: Counters
  readonly clock: Clock
}

/** This machine's packets to virtual addresses that no path leads to: asked for, kept a moment, and turned down when nobody knows a way. */
export class TunAsks {
  readonly #p: TunAsksParts
  readonly #unknown = new UnknownAddresses<null>()
  readonly #asked: Ip[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(parts: TunAsksParts) {
    this.#p = parts
  }

  /** Keeps the packet at `at` while its destination is asked for. `refused`: nobody knows the way. The packet must be as long as its header. */
  ask(v: DataView, at: number, len: number, gso: number, now: Instant): 'kept' | 'full' | 'refused' {
    const vip = destination(v, at)
    const said = this.#unknown.add(vip, null, new Uint8Array(v.buffer, v.byteOffset + at, len), gso, now)
    if (said === 'full' || said === 'refused') return said
    if (said !== 'waits') {
      this.#asked.push(vip)
      this.#p.tell({ out: 'wanted', vip })
      this.#watch()
    }
    return 'kept'
  }

  /** No path leads there. */
  refused(vip: Ip, now: Instant): void {
    const q = this.#unknown.answeredFor(vip, false, now)
    this.#forget(vip)
    if (q !== null) this.#p.done(q.waiting, false, now)
  }

  /** A path leads there, told by address. */
  routed(vip: Ip, now: Instant): void {
    this.#unknown.found(vip)
    this.#look(vip, now)
  }

  /** A path appeared or changed: those that it leads to go on. */
  mirrored(c: MirrorCommand, now: Instant): void {
    if (c.mirror === 'gone' || !c.path.leads || !this.#unknown.isAsking) return
    for (const vip of [...this.#asked]) this.#look(vip, now)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #look(vip: Ip, now: Instant): void {
    if (!this.#p.leads(vip)) return
    const q = this.#unknown.answeredFor(vip, true, now)
    this.#forget(vip)
    if (q !== null) this.#p.done(q.waiting, true, now)
  }

  #forget(vip: Ip): void {
    const i = this.#asked.findIndex((ip) => sameIp(ip, vip))
    if (i >= 0) this.#asked.splice(i, 1)
  }

  /** While somebody waits: ends what the control thread never answered. */
  #watch(): void {
    this.#timer ??= setInterval(() => {
      const lost = this.#unknown.sweep(this.#p.clock.now())
      if (lost > 0) this.#p.counters.count('tun.drop.direction-silent', lost)
      if (this.#unknown.isAsking) return
      clearInterval(this.#timer)
      this.#timer = undefined
      this.#asked.length = 0
    }, SWEEP_MS).unref()
  }
}

function destination(v: DataView, at: number): Ip {
  if (v.getUint8(at) >> 4 === 4) return ip4FromWord(v.getUint32(at + 16))
  return ip6FromBytes(new Uint8Array(v.buffer, v.byteOffset + at + 24, 16))
}

const SWEEP_MS = 250
