import { type Endpoint, sameEndpoint } from '#ntm-lib/addr/endpoint.ts'
import { type Ip, ip16 } from '#ntm-lib/addr/ip.ts'
import { ip6FromBytes, unmapped } from '#ntm-lib/addr/ip6.ts'
import { invariant } from '#ntm-lib/base/invariant.ts'
import { after, type Instant, seconds } from '#ntm-lib/base/time.ts'
import { PathIds } from '#ntm-lib/plane/path-ids.ts'
import { shared } from '#ntm-lib/ports/packet-port.ts'

/** A leg is 2 × row + D: the opener's, then the acceptor's. */
export const legOf = (row: number, direction: number): number => 2 * row + direction
export const otherLeg = (leg: number): number => leg ^ 1
/**
 * Each leg has three places in `addrs` and `ports`: where it is bound, where its latest Bind came from, and where it was bound a
 * moment ago: what was on its way from there still counts, but nothing goes there.
 */
export const boundPlace = (leg: number): number => PLACES * leg
export const pendingPlace = (leg: number): number => PLACES * leg + 1
const formerPlace = (leg: number): number => PLACES * leg + 2
const PLACES = 3

/**
 * The relay table (SEED 003): all that a packet needs to know of its path, in typed arrays of a size fixed at the start, so that what
 * is sent from them stays where it is.
 */
export class RelayTable {
  readonly byId = new PathIds()
  /** By place: 16 bytes (IPv4 as v4-mapped) and a port, 0 = nothing there. */
  readonly addrs: Uint8Array
  readonly ports: Uint16Array
  /** By leg: bytes that may still go to the pending place. */
  readonly allowance: Float64Array
  readonly seqs: Float64Array
  readonly noticedAt: Float64Array
  /** When the leg, and its pending place, are forgotten. */
  readonly legUntil: Float64Array
  readonly pendingUntil: Float64Array
  readonly formerUntil: Float64Array
  readonly keys: Uint8Array[] = []
  /** By row. */
  readonly leaseUntil: Float64Array
  readonly usedAt: Float64Array
  readonly #ids: (readonly number[])[] = []
  readonly #free: number[] = []
  readonly most: number

  constructor(most: number) {
    invariant(most >= 1 && most <= 65_536, 'a relay table has 1 to 65,536 rows')
    this.most = most
    this.addrs = shared(Uint8Array, 16 * PLACES * 2 * most)
    this.ports = shared(Uint16Array, PLACES * 2 * most)
    this.allowance = new Float64Array(2 * most)
    this.seqs = new Float64Array(2 * most)
    this.legUntil = new Float64Array(2 * most)
    this.pendingUntil = new Float64Array(2 * most)
    this.formerUntil = new Float64Array(2 * most)
    this.leaseUntil = new Float64Array(most)
    this.usedAt = new Float64Array(most)
    this.noticedAt = new Float64Array(2 * most).fill(Number.NEGATIVE_INFINITY)
    for (let row = most - 1; row >= 0; row--) this.#free.push(row)
  }

  get size(): number {
    return this.most - this.#free.length
  }

  rowOf(id: number): number {
    return this.byId.find(Math.floor(id / 2 ** 32), (id % 2 ** 32) | 0)
  }

  idsOf(row: number): readonly number[] {
    return this.#ids[row] ?? []
  }

  /** A row for these ids; -1 when there is none left. */
  add(ids: readonly number[]): number {
    const row = this.#free.pop()
    if (row === undefined) return -1
    this.#ids[row] = [...ids]
    for (const id of ids) this.byId.set(id, row)
    return row
  }

  remove(row: number): void {
    for (const id of this.idsOf(row)) this.byId.remove(id, row)
    this.#ids[row] = []
    for (const leg of [2 * row, 2 * row + 1]) {
      this.unbind(leg)
      this.noticedAt[leg] = Number.NEGATIVE_INFINITY
      this.seqs[leg] = 0
      this.keys[leg] = NO_KEY
    }
    this.#free.push(row)
  }

  *rows(): IterableIterator<number> {
    for (const [row, ids] of this.#ids.entries()) if (ids !== undefined && ids.length > 0) yield row
  }

  unbind(leg: number): void {
    this.ports[boundPlace(leg)] = 0
    this.ports[formerPlace(leg)] = 0
    this.dropPending(leg)
  }

  /** It is bound here from now on. */
  bind(leg: number, at: Endpoint, now: Instant): void {
    const [bound, former] = [boundPlace(leg), formerPlace(leg)]
    if ((this.ports[bound] ?? 0) !== 0 && !this.isPlace(bound, at)) {
      this.setPlace(former, this.placeOf(bound))
      this.formerUntil[leg] = after(now, UNDER_WAY)
    }
    this.setPlace(bound, at)
    this.dropPending(leg)
  }

  /** Forgets what has had its time. */
  expire(leg: number, now: Instant): void {
    if (this.isThere(leg) && now >= (this.legUntil[leg] ?? 0)) this.unbind(leg)
    if (now >= (this.pendingUntil[leg] ?? 0)) this.dropPending(leg)
    if (now >= (this.formerUntil[leg] ?? 0)) this.ports[formerPlace(leg)] = 0
  }

  dropPending(leg: number): void {
    this.ports[pendingPlace(leg)] = 0
    this.allowance[leg] = 0
  }

  /** Whether the leg has anywhere to be sent to. */
  isThere(leg: number): boolean {
    return (this.ports[boundPlace(leg)] ?? 0) !== 0 || (this.ports[pendingPlace(leg)] ?? 0) !== 0
  }

  setPlace(place: number, at: Endpoint): void {
    this.addrs.set(ip16(at.ip), 16 * place)
    this.ports[place] = at.port
  }

  isPlace(place: number, at: Endpoint): boolean {
    return (this.ports[place] ?? 0) !== 0 && sameEndpoint(this.placeOf(place), at)
  }

  placeOf(place: number): Endpoint {
    return { ip: ipAt(this.addrs, 16 * place), port: this.ports[place] ?? 0 }
  }

  /** The leg's place with the address at `at` of `addrs` and this port; -1 when it is none of its. */
  placeFrom(leg: number, addrs: Uint8Array, at: number, port: number): number {
    // A port of 0 marks an empty place, and can be forged as a source.
    if (port === 0) return -1
    for (let place = PLACES * leg; place < PLACES * (leg + 1); place++) {
      if (this.ports[place] !== port) continue
      let i = 15
      while (i >= 0 && this.addrs[16 * place + i] === addrs[at + i]) i--
      if (i < 0) return place
    }
    return -1
  }
}

export function ipAt(addrs: Uint8Array, at: number): Ip {
  const ip6 = ip6FromBytes(addrs, at)
  return unmapped(ip6) ?? ip6
}

/** How long what a moved end had sent from its old address may take. */
const UNDER_WAY = seconds(2)
const NO_KEY = new Uint8Array(0)
