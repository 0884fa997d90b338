/**
 * Native calls bound to memory, found again by that memory, which is compared by identity. A port meets a few pieces of memory again and again: the
 * oldest is forgotten when there are more than `MOST`.
 */
export class Bindings<Call> {
  readonly #all: Binding<Call>[] = []
  #oldest = 0

  find(a: object, b: Key = null, c: Key = null, d: Key = null, e: Key = null): Call | undefined {
    const all = this.#all
    for (let i = 0; i < all.length; i++) {
      const one = all[i]
      if (one?.a === a && one.b === b && one.c === c && one.d === d && one.e === e) return one.call
    }
    return undefined
  }

  /** Keeps the call and returns it. */
  add(call: Call, a: object, b: Key = null, c: Key = null, d: Key = null, e: Key = null): Call {
    this.#all[this.#oldest] = { call, a, b, c, d, e }
    this.#oldest = (this.#oldest + 1) % MOST
    return call
  }

  clear(): void {
    this.#all.length = 0
    this.#oldest = 0
  }
}

/** Whether all of these lie in shared memory, which alone can be bound. */
export const canBind = (...arrays: readonly ArrayBufferView[]): boolean =>
  arrays.every(({ buffer }) => buffer instanceof SharedArrayBuffer)

type Key = object | null
type Binding<Call> = {
  readonly call: Call
  readonly a: object
  readonly b: Key
  readonly c: Key
  readonly d: Key
  readonly e: Key
}

const MOST = 16
