/**
 * Ones' complement arithmetic (RFC 1071) and its incremental form (RFC 1624). A *sum* is unfolded and additive: sums of
 * pieces that start at even offsets add up with `+`. A *check* is what stands in a header: the complement of the folded sum.
 */

/** Sum of `len` bytes as big-endian 16-bit words; an odd last byte counts as the high half of a word. */
export function sum(view: DataView, at: number, len: number): number {
  let total = 0
  const even = at + (len & ~1)
  for (let i = at; i < even; i += 2) total += view.getUint16(i)
  return (len & 1) === 1 ? total + (view.getUint8(even) << 8) : total
}

/** Folds a sum to 16 bits with end-around carry. */
export function fold(total: number): number {
  let t = total
  while (t > 0xffff) t = (t % 0x10000) + Math.floor(t / 0x10000)
  return t
}

/** The value to store for a sum taken with the checksum field as zero. */
export const checkOf = (total: number): number => ~fold(total) & 0xffff

/** Whether a sum taken over everything, checksum field included, says "intact". */
export const intact = (total: number): boolean => fold(total) === 0xffff

/** The check after a covered 16-bit word changed. RFC 1624 equation 3, which unlike RFC 1141 never makes a wrong zero. */
export const delta16 = (check: number, before: number, after: number): number =>
  ~fold((~check & 0xffff) + (~before & 0xffff) + after) & 0xffff

/** The check after an aligned 32-bit word changed (an IPv4 address). */
export const delta32 = (check: number, before: number, after: number): number =>
  ~fold(
    (~check & 0xffff) + (~(before >>> 16) & 0xffff) + (~before & 0xffff) + ((after >>> 16) & 0xffff) + (after & 0xffff),
  ) & 0xffff

/** The check after covered bytes whose sum was `before` got the sum `after` (an IPv6 address, a pseudo-header). */
export const deltaSum = (check: number, before: number, after: number): number =>
  ~fold((~check & 0xffff) + (~fold(before) & 0xffff) + fold(after)) & 0xffff

/** A UDP check of 0 means "none" (RFC 768): a computed zero is sent as its other form. */
export const udpCheck = (check: number): number => (check === 0 ? 0xffff : check)

/** Pseudo-header sum of the IPv4 header at `at` for an upper layer of `len` bytes. RFC 9293 §3.1. */
export const pseudo4 = (view: DataView, at: number, protocol: number, len: number): number =>
  sum(view, at + 12, 8) + protocol + len

/** Pseudo-header sum of the IPv6 header at `at` for an upper layer of `len` bytes. RFC 8200 §8.1. */
export const pseudo6 = (view: DataView, at: number, protocol: number, len: number): number =>
  sum(view, at + 8, 32) + protocol + (len & 0xffff) + (len >>> 16)
