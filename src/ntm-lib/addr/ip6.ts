import type { Brand } from '../base/brand.ts'
import { hex } from '../base/hex.ts'
import { invariant } from '../base/invariant.ts'
import { type Ip4, ip4FromBytes, ip4Text, parseIp4 } from './ip4.ts'

/** An IPv6 address: 16 bytes in network order, never modified after construction. */
export type Ip6 = Brand<Uint8Array, 'Ip6'>

/** Copies; checks length only. */
export function ip6FromBytes(b: Uint8Array, at = 0): Ip6 {
  invariant(b.length >= at + 16, `an IPv6 address is 16 bytes, got ${b.length - at}`)
  // Not `slice`: of a platform buffer that is a view, and the address would change under its owner.
  return new Uint8Array(b.subarray(at, at + 16)) as Ip6
}

/** `::ffff:a.b.c.d`, the form in which a dual-stack socket names an IPv4 peer. RFC 4291 §2.5.5.2. */
export function mapped(ip: Ip4): Ip6 {
  const b = new Uint8Array(16)
  b[10] = b[11] = 0xff
  new DataView(b.buffer).setUint32(12, ip)
  return b as Ip6
}

/** The IPv4 address inside a v4-mapped one; null for every other address. */
export function unmapped(ip: Ip6): Ip4 | null {
  for (let i = 0; i < 10; i++) if (ip[i] !== 0) return null
  return ip[10] === 0xff && ip[11] === 0xff ? ip4FromBytes(ip, 12) : null
}

/** RFC 5952 text. */
export function ip6Text(ip: Ip6): string {
  const v4 = unmapped(ip)
  if (v4 !== null) return `::ffff:${ip4Text(v4)}`
  const words = Array.from({ length: 8 }, (_, i) => ((ip[2 * i] ?? 0) << 8) | (ip[2 * i + 1] ?? 0))
  let [start, length] = [-1, 1]
  for (let i = 0; i < 8; i++) {
    let n = 0
    while (i + n < 8 && words[i + n] === 0) n++
    if (n > length) [start, length] = [i, n]
  }
  const text = (from: number, to: number): string =>
    words
      .slice(from, to)
      .map((w) => w.toString(16))
      .join(':')
  return start < 0 ? text(0, 8) : `${text(0, start)}::${text(start + length, 8)}`
}

/** RFC 4291 §2.2 text without a zone; null for anything else. */
export function parseIp6(text: string): Ip6 | null {
  const halves = text.split('::')
  if (halves.length > 2) return null
  const left = groups(halves[0] ?? '', halves.length === 1)
  const right = halves.length === 2 ? groups(halves[1] ?? '', true) : []
  if (left === null || right === null) return null
  const missing = 8 - left.length - right.length
  if (halves.length === 1 ? missing !== 0 : missing < 1) return null
  const words = [...left, ...new Array<number>(missing).fill(0), ...right]
  return Uint8Array.from(words.flatMap((w) => [w >> 8, w & 255])) as Ip6
}

/** A stable text key for maps. */
export const ip6Key = (ip: Ip6): string => hex(ip)

function groups(text: string, last: boolean): number[] | null {
  if (text === '') return []
  const out: number[] = []
  const parts = text.split(':')
  for (const [i, part] of parts.entries()) {
    if (last && i === parts.length - 1 && part.includes('.')) {
      const v4 = parseIp4(part)
      if (v4 === null) return null
      out.push(v4 >>> 16, v4 & 0xffff)
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) out.push(Number.parseInt(part, 16))
    else return null
  }
  return out
}
