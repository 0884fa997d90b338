import { type Ip, isIp4 } from '../addr/ip.ts'
import { contains, type Prefix } from '../addr/prefix.ts'

type Host6<V> = { readonly words: readonly [number, number, number, number]; readonly values: V[] }
type Pool<V> = { readonly prefix: Prefix; readonly value: V }

/**
 * Values by address: hosts in hash tables, a few pools searched longest first. Lookups allocate nothing and take the
 * address as words or as a place in a packet. When two values claim the same prefix, the newest answers.
 */
export class AddressMap<V> {
  /** By the address as a signed word: V8 keeps those in place, and hashes them four times as fast as large unsigned ones. */
  readonly #hosts4 = new Map<number, V[]>()
  readonly #hosts6 = new Map<number, Host6<V>[]>()
  #pools: Pool<V>[] = []

  add(prefix: Prefix, value: V): void {
    const { base, bits } = prefix
    if (isIp4(base) && bits === 32) push(this.#hosts4, base | 0, value)
    else if (!isIp4(base) && bits === 128) {
      const words = wordsOf(base)
      const bucket = this.#hosts6.get(hash6(...words))
      const same = bucket?.find((h) => sameWords(h.words, ...words))
      if (same !== undefined) same.values.push(value)
      else push(this.#hosts6, hash6(...words), { words, values: [value] })
    } else this.#pools = [{ prefix, value }, ...this.#pools].sort((a, b) => b.prefix.bits - a.prefix.bits)
  }

  remove(prefix: Prefix, value: V): void {
    const { base, bits } = prefix
    if (isIp4(base) && bits === 32) drop(this.#hosts4, base | 0, value)
    else if (!isIp4(base) && bits === 128) {
      const words = wordsOf(base)
      const bucket = this.#hosts6.get(hash6(...words)) ?? []
      const same = bucket.find((h) => sameWords(h.words, ...words))
      if (same === undefined) return
      const i = same.values.lastIndexOf(value)
      if (i >= 0) same.values.splice(i, 1)
      if (same.values.length === 0) drop(this.#hosts6, hash6(...words), same)
    } else {
      const i = this.#pools.findIndex(
        (p) =>
          p.value === value && p.prefix.bits === bits && contains(p.prefix, base) && contains(prefix, p.prefix.base),
      )
      if (i >= 0) this.#pools.splice(i, 1)
    }
  }

  /** `ip` is an IPv4 address as an unsigned word. */
  find4(ip: number): V | undefined {
    const values = this.#hosts4.get(ip | 0)
    if (values !== undefined) return values[values.length - 1]
    for (const p of this.#pools) {
      const { base, bits } = p.prefix
      if (typeof base === 'number' && (bits === 0 || base >>> (32 - bits) === ip >>> (32 - bits))) return p.value
    }
    return undefined
  }

  /** The IPv6 address at `at`. */
  find6(view: DataView, at: number): V | undefined {
    const [a, b, c, d] = [view.getUint32(at), view.getUint32(at + 4), view.getUint32(at + 8), view.getUint32(at + 12)]
    const bucket = this.#hosts6.get(hash6(a, b, c, d))
    if (bucket !== undefined) {
      for (const h of bucket) if (sameWords(h.words, a, b, c, d)) return h.values[h.values.length - 1]
    }
    for (const p of this.#pools) if (within6(p.prefix, view, at)) return p.value
    return undefined
  }

  find(ip: Ip): V | undefined {
    return isIp4(ip) ? this.find4(ip) : this.find6(new DataView(ip.buffer, ip.byteOffset, 16), 0)
  }
}

function within6({ base, bits }: Prefix, view: DataView, at: number): boolean {
  if (typeof base === 'number') return false
  const whole = bits >> 3
  for (let i = 0; i < whole; i++) if (base[i] !== view.getUint8(at + i)) return false
  const rest = 8 - (bits & 7)
  return rest === 8 || (base[whole] ?? 0) >> rest === view.getUint8(at + whole) >> rest
}

function wordsOf(ip: Uint8Array): [number, number, number, number] {
  const view = new DataView(ip.buffer, ip.byteOffset, 16)
  return [view.getUint32(0), view.getUint32(4), view.getUint32(8), view.getUint32(12)]
}

const sameWords = (w: readonly number[], a: number, b: number, c: number, d: number): boolean =>
  w[0] === a && w[1] === b && w[2] === c && w[3] === d

/** Spreads well enough for ids that are hashes already; a chosen collision costs its maker's own bucket a scan. */
const hash6 = (a: number, b: number, c: number, d: number): number =>
  (Math.imul(a, 31) ^ Math.imul(b, 0x9e3779b1) ^ Math.imul(c, 0x85ebca6b) ^ Math.imul(d, 0xc2b2ae35)) >>> 0

function push<V>(map: Map<number, V[]>, key: number, value: V): void {
  const values = map.get(key)
  if (values === undefined) map.set(key, [value])
  else values.push(value)
}

function drop<V>(map: Map<number, V[]>, key: number, value: V): void {
  const values = map.get(key)
  const i = values?.lastIndexOf(value) ?? -1
  if (values === undefined || i < 0) return
  values.splice(i, 1)
  if (values.length === 0) map.delete(key)
}
