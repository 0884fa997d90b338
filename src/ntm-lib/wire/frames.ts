import type { Endpoint } from '../addr/endpoint.ts'
import { type Decoded, ok, refuse } from '../base/decoded.ts'
import { endpoint } from './address-field.ts'
import { type AnyFields, type Field, type Fields, fixed, readFields, u16, writeFields } from './field.ts'
import { closeReason, type PathClose } from './messages/direction.ts'
import { Reader } from './reader.ts'
import { Writer } from './writer.ts'

/** What a Capsulated Packet with the frames bit carries instead of an inner packet. */
export type Frame =
  | PadFrame
  | ReadyFrame
  | PingFrame
  | ChallengeFrame
  | ResponseFrame
  | MtuProbeFrame
  | MtuAckFrame
  | RekeyPleaseFrame
  | CheckFrame
  | CheckedFrame
  | CloseFrame

/** Nothing, `zeros` bytes of it. */
export type PadFrame = { readonly kind: 'pad'; readonly zeros: number }
/** The sender has the keys of this epoch: key confirmation when there is no packet to send. */
export type ReadyFrame = { readonly kind: 'ready' }
export type PingFrame = {
  readonly kind: 'ping' | 'pong'
  /** 8 bytes; the pong repeats them. */
  readonly nonce: Uint8Array
}
/** Are you reachable at the address this was sent to? */
export type ChallengeFrame = {
  readonly kind: 'challenge'
  /** 8 random bytes. */
  readonly nonce: Uint8Array
}
export type ResponseFrame = {
  readonly kind: 'response'
  /** The challenge's 8 bytes. */
  readonly nonce: Uint8Array
  /** Where the challenge came from, as its receiver saw it. */
  readonly observed: Endpoint
}
/** Does a datagram of this size arrive? */
export type MtuProbeFrame = {
  readonly kind: 'mtu-probe'
  /** The outer IP packet's size that is tried. */
  readonly mtuBytes: number
  /** Zero bytes that make the datagram that large. */
  readonly zeros: number
}
export type MtuAckFrame = {
  readonly kind: 'mtu-ack'
  /** The probe's. */
  readonly mtuBytes: number
}
/** The acceptor asks the opener to rekey. */
export type RekeyPleaseFrame = { readonly kind: 'rekey-please' }
/**
 * Does this way work? Unlike a challenge it comes from addresses that are only tried: its receiver answers where it came from
 * and does not follow. With `use` the sender has settled on this way and is followed as by any packet.
 */
export type CheckFrame = {
  readonly kind: 'check'
  /** 8 random bytes. */
  readonly nonce: Uint8Array
  readonly use: boolean
  /** Zero bytes: what the sender allows its peer to send back before its new address is proven (three times as much). */
  readonly zeros: number
}
export type CheckedFrame = {
  readonly kind: 'checked'
  /** The check's 8 bytes. */
  readonly nonce: Uint8Array
  /** Where the check came from, as its receiver saw it. */
  readonly observed: Endpoint
}
export type CloseFrame = {
  readonly kind: 'close'
  readonly reason: PathClose['reason']
}

export function encodeFrames(frames: readonly Frame[]): Uint8Array {
  const w = new Writer()
  for (const frame of frames) {
    const row = rows[frame.kind]
    const body = new Writer()
    writeFields(row.fields, body, frame)
    w.u8(row.code)
    w.u16(body.length)
    w.bytes(body.done())
  }
  return w.done()
}

/** Total. Frames of a type we do not know are skipped by their length, so that later ones can be added. */
export function decodeFrames(bytes: Uint8Array): Decoded<Frame[]> {
  const r = new Reader(bytes)
  const frames: Frame[] = []
  while (r.left > 0 && r.fault === null) {
    const kind = kinds.get(r.u8())
    const body = new Reader(r.bytes(r.u16()))
    if (r.fault !== null || kind === undefined) continue
    const fields = readFields(rows[kind].fields, body)
    body.end()
    if (body.fault !== null) return refuse(body.fault)
    frames.push({ kind, ...fields } as Frame)
  }
  return r.fault === null ? ok(frames) : refuse(r.fault)
}

type FrameKind = Frame['kind']
type Row<F> = { readonly code: number; readonly fields: F }
type OfKind<K extends FrameKind, F = Frame> = F extends { readonly kind: FrameKind }
  ? K extends F['kind']
    ? F
    : never
  : never

/** The rest of the frame, which must be zero; its value is how many bytes that is. */
const zeros: Field<number> = {
  type: 'zero to the end of the frame',
  size: 'n',
  read: (r) => {
    const count = r.left
    r.zeros(count)
    return count
  },
  write: (w, v) => w.zeros(v),
}

const flag: Field<boolean> = {
  type: 'u8: 0 or 1',
  size: '1',
  read: (r) => {
    const v = r.u8()
    if (v > 1) r.refuse('bad-value')
    return v === 1
  },
  write: (w, v) => w.u8(v ? 1 : 0),
}

/** Every frame once. Types 8, 10 and 11 (candidates, KEM parts) are reserved. */
export const FRAMES = {
  pad: { code: 0, fields: { zeros } },
  ready: { code: 1, fields: {} },
  ping: { code: 2, fields: { nonce: fixed(8) } },
  pong: { code: 3, fields: { nonce: fixed(8) } },
  challenge: { code: 4, fields: { nonce: fixed(8) } },
  response: { code: 5, fields: { nonce: fixed(8), observed: endpoint } },
  'mtu-probe': { code: 6, fields: { mtuBytes: u16, zeros } },
  'mtu-ack': { code: 7, fields: { mtuBytes: u16 } },
  'rekey-please': { code: 9, fields: {} },
  close: { code: 12, fields: { reason: closeReason } },
  check: { code: 13, fields: { nonce: fixed(8), use: flag, zeros } },
  checked: { code: 14, fields: { nonce: fixed(8), observed: endpoint } },
} as const satisfies { readonly [K in FrameKind]: Row<Fields<OfKind<K>>> }

const rows: Readonly<Record<FrameKind, Row<AnyFields>>> = FRAMES
const kinds = new Map(Object.entries(rows).map(([kind, row]) => [row.code, kind as FrameKind]))
