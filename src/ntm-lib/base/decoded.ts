/** Why bytes from the network were refused. Small, closed, countable: each one is a metric name. */
export type WireFault = 'short' | 'long' | 'bad-version' | 'unknown-kind' | 'bad-value' | 'bad-tag' | 'bad-signature'

export type Decoded<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly fault: WireFault }
export const ok = <T>(value: T): Decoded<T> => ({ ok: true, value })
export const refuse = (fault: WireFault): Decoded<never> => ({
  ok: false,
  fault,
})
