import type { WireFault } from '../base/decoded.ts'

/**
 * Big-endian cursor over untrusted bytes.
 *
 * Reads past the end yield zeros and set `fault` once; callers check `fault` at the end instead of after each field.
 */
export class Reader {
  fault: WireFault | null = null
  #at = 0
  readonly #view: DataView
  readonly #bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    // A view of our own: `slice` of a platform buffer would be another view on the input and not a copy.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** Bytes not read yet. */
  get left(): number {
    return this.#bytes.length - this.#at
  }

  u8(): number {
    const at = this.#take(1)
    return at < 0 ? 0 : this.#view.getUint8(at)
  }

  u16(): number {
    const at = this.#take(2)
    return at < 0 ? 0 : this.#view.getUint16(at)
  }

  u32(): number {
    const at = this.#take(4)
    return at < 0 ? 0 : this.#view.getUint32(at)
  }

  u48(): number {
    const at = this.#take(6)
    return at < 0 ? 0 : this.#view.getUint16(at) * 2 ** 32 + this.#view.getUint32(at + 2)
  }

  /** Values a JavaScript number cannot hold exactly are refused as `bad-value`. */
  u64(): number {
    const at = this.#take(8)
    if (at < 0) return 0
    const value = this.#view.getUint32(at) * 2 ** 32 + this.#view.getUint32(at + 4)
    if (value <= Number.MAX_SAFE_INTEGER) return value
    this.refuse('bad-value')
    return 0
  }

  /** `count` bytes as a view on the input: no copy, valid only while the input is. Zeros after a fault. */
  bytes(count: number): Uint8Array {
    const at = this.#take(count)
    return at < 0 ? new Uint8Array(count) : this.#bytes.subarray(at, at + count)
  }

  /** `count` bytes that must be zero; anything else is `bad-value`. */
  zeros(count: number): void {
    if (this.bytes(count).some((b) => b !== 0)) this.refuse('bad-value')
  }

  /** Keeps the first fault. */
  refuse(fault: WireFault): void {
    this.fault ??= fault
  }

  /** Refuses bytes nobody has read. */
  end(): void {
    if (this.left > 0) this.refuse('long')
  }

  #take(count: number): number {
    if (this.fault !== null) return -1
    if (this.left < count) {
      this.fault = 'short'
      return -1
    }
    const at = this.#at
    this.#at += count
    return at
  }
}
