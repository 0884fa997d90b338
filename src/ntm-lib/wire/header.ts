import { type Decoded, ok, refuse } from '../base/decoded.ts'

export const CLASS_CONTROL_HANDSHAKE = 1
export const CLASS_CONTROL = 2
export const CLASS_TUNNEL_HANDSHAKE = 3
export const CLASS_CAPSULATED = 4
export const CLASS_RELAY = 5
export const CLASS_RESET = 6
export type HeaderClass = 1 | 2 | 3 | 4 | 5 | 6

/** Upper nibble of the first byte. */
export const WIRE_VERSION = 1
export const HEADER_BYTES = 16
/** Bit 7 of byte 1 in classes 2–5: 0 = sent by the opener (control: by the Hello sender). */
export const DIRECTION_BIT = 0x80

/** The 16 bytes every datagram starts with; the meaning of the fields depends on the class (`docs/wire.md`, Header). */
export type Header = {
  readonly cls: HeaderClass
  /** Byte 1. */
  readonly flags: number
  /** Bytes 2–3. */
  readonly word: number
  /** Bytes 4–9. */
  readonly id: number
  /** Bytes 10–15. */
  readonly counter: number
}

export function writeHeader(view: DataView, at: number, h: Header): void {
  view.setUint8(at, (WIRE_VERSION << 4) | h.cls)
  view.setUint8(at + 1, h.flags)
  view.setUint16(at + 2, h.word)
  setU48(view, at + 4, h.id)
  setU48(view, at + 10, h.counter)
}

export function encodeHeader(h: Header): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES)
  writeHeader(new DataView(bytes.buffer), 0, h)
  return bytes
}

/** Reads the first 16 bytes of a datagram of any length and checks everything its class fixes, not what follows. */
export function readHeader(bytes: Uint8Array): Decoded<Header> {
  if (bytes.length < HEADER_BYTES) return refuse('short')
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES)
  const first = view.getUint8(0)
  if (first >> 4 !== WIRE_VERSION) return refuse('bad-version')
  const rule = RULES[first & 15]
  if (rule === undefined) return refuse('unknown-kind')
  const h: Header = {
    cls: (first & 15) as HeaderClass,
    flags: view.getUint8(1),
    word: view.getUint16(2),
    id: getU48(view, 4),
    counter: getU48(view, 10),
  }
  if (rule.types !== null && !rule.types.includes(h.flags & ~rule.directed)) return refuse('unknown-kind')
  return rule.fits(h) ? ok(h) : refuse('bad-value')
}

export const getU48 = (view: DataView, at: number): number => view.getUint16(at) * 2 ** 32 + view.getUint32(at + 2)

export function setU48(view: DataView, at: number, v: number): void {
  view.setUint16(at, Math.floor(v / 2 ** 32))
  view.setUint32(at + 2, v % 2 ** 32)
}

type Rule = {
  /** Type codes in byte 1; null where byte 1 holds flags. */
  readonly types: readonly number[] | null
  /** `DIRECTION_BIT` where byte 1 carries the direction. */
  readonly directed: number
  readonly fits: (h: Header) => boolean
}

const RULES: Readonly<Record<number, Rule>> = {
  // A Hello has no receiver session yet; everything after it names both.
  [CLASS_CONTROL_HANDSHAKE]: {
    types: [1, 2, 3, 4, 5],
    directed: 0,
    fits: (h) => (h.flags === 1 || h.flags === 4 ? h.id === 0 && h.counter !== 0 : h.id !== 0),
  },
  [CLASS_CONTROL]: {
    types: null,
    directed: DIRECTION_BIT,
    fits: (h) => (h.flags & 0x7f) === 0 && h.word === 0 && h.id !== 0,
  },
  [CLASS_TUNNEL_HANDSHAKE]: {
    types: [1, 2, 3, 4],
    directed: DIRECTION_BIT,
    fits: (h) => h.id !== 0 && h.counter !== 0,
  },
  // Bits 1–0 are reserved and the fourth fragment code is unused.
  [CLASS_CAPSULATED]: {
    types: null,
    directed: DIRECTION_BIT,
    fits: (h) => (h.flags & 0x03) === 0 && (h.flags & 0x0c) !== 0x0c && h.id !== 0,
  },
  [CLASS_RELAY]: { types: [1, 2, 3, 4, 5, 6], directed: DIRECTION_BIT, fits: (h) => h.word === 0 && h.id !== 0 },
  [CLASS_RESET]: { types: [1, 2], directed: 0, fits: (h) => h.word === 0 && h.counter === 0 && h.id !== 0 },
}
