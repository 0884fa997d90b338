import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'

/** Source and destination of IP packets. `words`: four each, IPv4 in the first of each. */
export type Pair = { readonly family: number; readonly words: Int32Array }

/** The pair of the packet at `at`, whose header is there. */
export function pairAt(v: DataView, at: number): Pair {
  const family = ip4.version(v, at)
  const pair: Pair = { family, words: new Int32Array(8) }
  const [from, each] = family === 4 ? [at + ip4.SOURCE_AT, 1] : [at + ip6.SOURCE_AT, 4]
  for (let i = 0; i < each; i++) {
    pair.words[i] = v.getInt32(from + 4 * i)
    pair.words[4 + i] = v.getInt32(from + 4 * (each + i))
  }
  return pair
}

/**
 * Something remembered for packets by their pair of addresses. Reads allocate nothing. One place per hash: a pair that lands
 * on another's place takes it.
 */
export class PairTable<T> {
  readonly #bits: number
  readonly #values: (T | null)[]
  readonly #words: Int32Array
  readonly #families: Uint8Array

  /** 2 to the power of `bits` places. */
  constructor(bits: number) {
    this.#bits = bits
    this.#values = new Array<T | null>(1 << bits).fill(null)
    this.#words = new Int32Array(8 << bits)
    this.#families = new Uint8Array(1 << bits)
  }

  /** What is remembered for the IP packet at `at`, whose header is there. */
  find(v: DataView, at: number): T | null {
    const place = this.#placeOf(v, at)
    const value = this.#values[place] ?? null
    return value !== null && this.#isPair(v, at, place) ? value : null
  }

  set({ family, words }: Pair, value: T): void {
    const last = family === 4 ? 0 : 3
    const place = this.#place(words[last] ?? 0, words[4 + last] ?? 0)
    this.#words.set(words, 8 * place)
    this.#families[place] = family
    this.#values[place] = value
  }

  /** Nothing is remembered for packets like the one at `at` any more. */
  remove(v: DataView, at: number): void {
    const place = this.#placeOf(v, at)
    if (this.#isPair(v, at, place)) this.#values[place] = null
  }

  #isPair(v: DataView, at: number, place: number): boolean {
    const w = this.#words
    const k = 8 * place
    const family = ip4.version(v, at)
    if (this.#families[place] !== family) return false
    if (family === 4) return w[k] === v.getInt32(at + ip4.SOURCE_AT) && w[k + 4] === v.getInt32(at + ip4.DESTINATION_AT)
    for (let i = 0; i < 8; i++) if (w[k + i] !== v.getInt32(at + ip6.SOURCE_AT + 4 * i)) return false
    return true
  }

  #placeOf(v: DataView, at: number): number {
    const four = ip4.version(v, at) === 4
    return this.#place(
      v.getInt32(four ? at + ip4.SOURCE_AT : at + ip6.SOURCE_AT + 12),
      v.getInt32(four ? at + ip4.DESTINATION_AT : at + ip6.DESTINATION_AT + 12),
    )
  }

  /** Neighbouring addresses differ in their last bytes, and so do pairs of them. */
  #place(source: number, destination: number): number {
    return (Math.imul(source, 0x9e3779b1) ^ Math.imul(destination, 0x85ebca6b)) >>> (32 - this.#bits)
  }
}
