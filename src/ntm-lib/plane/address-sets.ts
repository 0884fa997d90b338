import { isIp4 } from '../addr/ip.ts'
import { type Prefix, prefixText } from '../addr/prefix.ts'
import { type AddressTest, allowed } from '../negotiate/filter.ts'

/**
 * A set of addresses that many rows may share. Nearly every set is one host's pair of addresses: up to `SCANNED` prefixes are a
 * list of words to scan, which is faster than hashing and takes a tenth of the memory; longer ones are an `AddressMap`.
 */
export class AddressSet implements AddressTest {
  /** base, mask per prefix. */
  readonly #four: readonly number[]
  /** four words of base, four of mask per prefix. */
  readonly #six: readonly number[]
  readonly #many: AddressTest | null
  /** Two lists with the same name are the same set. */
  readonly name: string
  /** Rows that use it. */
  uses = 0

  constructor(prefixes: readonly Prefix[], name: string) {
    this.name = name
    this.#many = prefixes.length > SCANNED ? allowed(prefixes) : null
    const listed = this.#many === null ? prefixes : []
    this.#four = listed.flatMap(({ base, bits }) => (isIp4(base) ? [base | 0, maskOf(bits)] : []))
    this.#six = listed.flatMap(({ base, bits }) => (isIp4(base) ? [] : [...wordsOf(base), ...masksOf(bits)]))
  }

  find4(ip: number): true | undefined {
    if (this.#many !== null) return this.#many.find4(ip)
    const list = this.#four
    for (let i = 0; i < list.length; i += 2) {
      if (((ip ^ (list[i] ?? 0)) & (list[i + 1] ?? 0)) === 0) return true
    }
    return undefined
  }

  find6(view: DataView, at: number): true | undefined {
    if (this.#many !== null) return this.#many.find6(view, at)
    const list = this.#six
    for (let i = 0; i < list.length; i += 8) {
      if (
        ((view.getInt32(at + 12) ^ (list[i + 3] ?? 0)) & (list[i + 7] ?? 0)) === 0 &&
        ((view.getInt32(at + 8) ^ (list[i + 2] ?? 0)) & (list[i + 6] ?? 0)) === 0 &&
        ((view.getInt32(at + 4) ^ (list[i + 1] ?? 0)) & (list[i + 5] ?? 0)) === 0 &&
        ((view.getInt32(at) ^ (list[i] ?? 0)) & (list[i + 4] ?? 0)) === 0
      ) {
        return true
      }
    }
    return undefined
  }
}

/** Equal sets are kept once: all paths of a terminator have the same own side. */
export class AddressSets {
  readonly #held = new Map<string, AddressSet>()

  get size(): number {
    return this.#held.size
  }

  /** The set of these prefixes, with one more user. */
  hold(prefixes: readonly Prefix[]): AddressSet {
    const name = prefixes.map(prefixText).sort().join(' ')
    const set = this.#held.get(name) ?? new AddressSet(prefixes, name)
    this.#held.set(name, set)
    set.uses++
    return set
  }

  /** One user less. */
  drop(set: AddressSet): void {
    if (--set.uses === 0) this.#held.delete(set.name)
  }
}

/** Signed, as bit operations give it. */
const maskOf = (bits: number): number => (bits <= 0 ? 0 : bits >= 32 ? -1 : -1 << (32 - bits))
const masksOf = (bits: number): number[] => [bits, bits - 32, bits - 64, bits - 96].map(maskOf)

function wordsOf(ip: Uint8Array): number[] {
  const view = new DataView(ip.buffer, ip.byteOffset, 16)
  return [0, 4, 8, 12].map((at) => view.getInt32(at))
}

/** Longest list that is scanned. */
const SCANNED = 12
