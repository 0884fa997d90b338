import { CLASS_CAPSULATED, getU48, HEADER_BYTES, setU48, WIRE_VERSION } from './header.ts'

/**
 * The header of a Capsulated Packet, read and written in place: class 4, the only one on the hot path. Every getter
 * takes the arena's view and the offset of the header; nothing allocates. `docs/wire.md`, class 4.
 */
export const CAPSULATED_FIRST_BYTE = (WIRE_VERSION << 4) | CLASS_CAPSULATED
export const TAG_BYTES = 16
/** Header and tag around every inner packet. */
export const CAPSULATED_OVERHEAD = HEADER_BYTES + TAG_BYTES

/** 0 = sent by the path's opener, 1 = by its acceptor. */
export type Direction = 0 | 1
/** 0 = a whole inner packet, 1 = the first half of one, 2 = the second. */
export type Frag = 0 | 1 | 2
export const FRAG_WHOLE = 0
export const FRAG_FIRST = 1
export const FRAG_SECOND = 2

/** Whether `length` bytes at `at` may be a Capsulated Packet: version, class, reserved bits, room for the tag. */
export function isCapsulated(view: DataView, at: number, length: number): boolean {
  if (length < CAPSULATED_OVERHEAD || view.getUint8(at) !== CAPSULATED_FIRST_BYTE) return false
  const flags = view.getUint8(at + 1)
  return (flags & 0x03) === 0 && (flags & 0x0c) !== 0x0c
}

export const direction = (view: DataView, at: number): Direction => (view.getUint8(at + 1) >> 7) as Direction
/** Whether the payload is frames of `wire/frames.ts` instead of an IP packet. */
export const isFrames = (view: DataView, at: number): boolean => (view.getUint8(at + 1) & 0x40) !== 0
/** The sending worker, 0–3: each has its own counter under the same key. */
export const lane = (view: DataView, at: number): number => (view.getUint8(at + 1) >> 4) & 3
/** 3 is not a fragment code; `isCapsulated` has refused it. */
export const frag = (view: DataView, at: number): number => (view.getUint8(at + 1) >> 2) & 3
export const epoch = (view: DataView, at: number): number => view.getUint16(at + 2)
export const pathId = (view: DataView, at: number): number => getU48(view, at + 4)
export const counter = (view: DataView, at: number): number => getU48(view, at + 10)

/** Byte 1 of the header; computed once per (path, lane) and kept. */
export const capsulatedFlags = (direction: Direction, frames: boolean, lane: number, frag: Frag): number =>
  (direction << 7) | (frames ? 0x40 : 0) | ((lane & 3) << 4) | (frag << 2)

export function writeCapsulated(
  view: DataView,
  at: number,
  flags: number,
  epoch: number,
  pathId: number,
  counter: number,
): void {
  view.setUint8(at, CAPSULATED_FIRST_BYTE)
  view.setUint8(at + 1, flags)
  view.setUint16(at + 2, epoch)
  setU48(view, at + 4, pathId)
  setU48(view, at + 10, counter)
}
