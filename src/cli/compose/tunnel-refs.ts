import { hex } from '#ntm-lib/base/hex.ts'

/** Small numbers for contracts, so that a role's packet path need not know hashes. */
export class TunnelRefs {
  readonly #byHash = new Map<string, number>()
  readonly #byRef = new Map<number, string>()
  #next = 1

  /** The number of a contract; the same as long as it is not removed. */
  refOf(contractHash: Uint8Array): number {
    const key = hex(contractHash)
    const known = this.#byHash.get(key)
    if (known !== undefined) return known
    const ref = this.#next++
    this.#byHash.set(key, ref)
    this.#byRef.set(ref, key)
    return ref
  }

  /** The contract's hash as its path is keyed. */
  keyOf(ref: number): string | null {
    return this.#byRef.get(ref) ?? null
  }

  /** The number it had, for telling the role; null when it had none. */
  remove(contractHash: Uint8Array): number | null {
    const key = hex(contractHash)
    const ref = this.#byHash.get(key) ?? null
    this.#byHash.delete(key)
    if (ref !== null) this.#byRef.delete(ref)
    return ref
  }
}
