import { invariant } from '../base/invariant.ts'

/** Growable big-endian writer. A value that does not fit its width is our own mistake and throws `BugError`. */
export class Writer {
  #bytes = new Uint8Array(128)
  #at = 0

  get length(): number {
    return this.#at
  }

  u8(v: number): void {
    this.#uint(v, 1)
  }

  u16(v: number): void {
    this.#uint(v, 2)
  }

  u32(v: number): void {
    this.#uint(v, 4)
  }

  u48(v: number): void {
    this.#uint(v, 6)
  }

  /** Safe integers only, as `Reader.u64` accepts them. */
  u64(v: number): void {
    this.#uint(v, 8)
  }

  bytes(b: Uint8Array): void {
    this.#room(b.length)
    this.#bytes.set(b, this.#at)
    this.#at += b.length
  }

  zeros(count: number): void {
    this.#room(count)
    this.#at += count
  }

  /** Everything written so far, as a copy. */
  done(): Uint8Array {
    return this.#bytes.slice(0, this.#at)
  }

  #uint(v: number, width: number): void {
    const limit = width === 8 ? Number.MAX_SAFE_INTEGER : 2 ** (8 * width) - 1
    invariant(Number.isInteger(v) && v >= 0 && v <= limit, `u${8 * width} takes 0–${limit}, got ${v}`)
    this.#room(width)
    for (let i = width - 1, rest = v; i >= 0; i--) {
      this.#bytes[this.#at + i] = rest % 256
      rest = Math.floor(rest / 256)
    }
    this.#at += width
  }

  #room(count: number): void {
    if (this.#at + count <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#at + count))
    grown.set(this.#bytes)
    this.#bytes = grown
  }
}
