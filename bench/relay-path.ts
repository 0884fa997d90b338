/** The one path that the relay's bench has, known to its relay and its ends. */
export const RELAY_PATH = {
  id: 0x0102_0304_0506,
  keys: [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)],
} as const satisfies { readonly id: number; readonly keys: readonly [Uint8Array, Uint8Array] }
