import { type Ip, ipText } from '#ntm-lib/addr/ip.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import { Expiring } from '#ntm-lib/base/expiring.ts'
import { after, between, type Instant, millis, seconds } from '#ntm-lib/base/time.ts'

/** `families`: what the name leads to, bit 0 IPv4, bit 1 IPv6. */
export type KnownName = VirtualPair & { readonly families: number; readonly until: Instant }

/** What is remembered about names, so that a name seen before costs nothing. Bounded; the oldest goes first. */
export class KnownNames {
  readonly #answers = new Expiring<string, KnownName>(8192)
  readonly #plain = new Expiring<string, Instant>(8192)
  readonly #names = new Expiring<string, string>(8192)

  /** A name of this host's that is reached through a tunnel. `ttlSeconds` is how long the answer holds. */
  learn(host: string, name: string, pair: VirtualPair, ttlSeconds: number, now: Instant, families = 3): void {
    const until = after(now, seconds(Math.max(MIN_TTL, ttlSeconds)))
    this.#answers.set(`${host} ${name}`, { vip4: pair.vip4, vip6: pair.vip6, families, until }, until)
    this.name(pair, name, now)
    for (const type of [0, 1, 28]) this.#plain.delete(`${type} ${name}`)
  }

  /** Whose addresses these are, told by others: for hosts that ask who came to them. */
  name({ vip4, vip6 }: VirtualPair, name: string, now: Instant): void {
    const kept = after(now, REVERSE_KEPT)
    for (const ip of [vip4, vip6]) this.#names.set(ipText(ip), name, kept)
  }

  /** A name that needs nothing from us when asked for `type`: it has the type, or has neither, or (every type, 0) was refused. */
  learnPlain(name: string, type: number, forSeconds: number, now: Instant): void {
    this.#plain.set(`${type} ${name}`, after(now, seconds(forSeconds)), after(now, seconds(forSeconds)))
  }

  find(host: string, name: string, now: Instant): KnownName | null {
    const known = this.#answers.get(`${host} ${name}`)
    return known === undefined || known.until <= now ? null : known
  }

  isPlain(name: string, type: number, now: Instant): boolean {
    return [type, 0].some((t) => (this.#plain.get(`${t} ${name}`) ?? now) > now)
  }

  /** The name behind a virtual address. */
  nameOf(ip: Ip): string | null {
    return this.#names.get(ipText(ip)) ?? null
  }

  forget(host: string, name: string): void {
    this.#answers.delete(`${host} ${name}`)
  }

  /** Cheap enough to call often: does its work once a second. */
  sweep(now: Instant): void {
    if (now < this.#nextSweep) return
    this.#nextSweep = after(now, millis(1000))
    for (const table of [this.#answers, this.#plain, this.#names]) table.sweep(now)
  }
  #nextSweep = 0 as Instant
}

/** TTL shown to hosts: min(60, remaining), floor 5; in seconds. */
export const hostTtl = (known: KnownName, now: Instant): number =>
  Math.min(MAX_TTL, Math.max(MIN_TTL, Math.floor(between(now, known.until) / 1000)))

const MIN_TTL = 5
export const MAX_TTL = 60
/** Negative knowledge is kept this long; seconds. */
export const NEGATIVE_TTL = 30
const REVERSE_KEPT = seconds(86_400)
