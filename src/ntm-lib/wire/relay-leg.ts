import { type PathId, pathId } from '../addr/ids.ts'
import { type Decoded, ok, refuse } from '../base/decoded.ts'
import { invariant } from '../base/invariant.ts'
import type { Direction } from './capsulated.ts'
import {
  type AnyFields,
  type Field,
  type Fields,
  fixed,
  oneOf,
  padded,
  readFields,
  sizeOf,
  writeFields,
} from './field.ts'
import { CLASS_RELAY, DIRECTION_BIT, encodeHeader, HEADER_BYTES, type Header, readHeader } from './header.ts'
import { Reader } from './reader.ts'
import { Writer } from './writer.ts'

/** Why a relay did not forward, or soon will not. `peer-unbound`: the other end has not come, or has gone. */
export type NoticeReason = 'unbound' | 'limit' | 'expiring' | 'peer-unbound'

type Leg = {
  /** Any of the four ids of the path. */
  readonly path: PathId
  /** The end whose leg this is, whoever sends: 0 = the opener's, 1 = the acceptor's. */
  readonly direction: Direction
  /** Not 0; strictly rises with every Bind of a leg. Challenge and Confirm repeat the Bind's. */
  readonly seq: number
}
type LegTag = {
  /** MAC16(leg key, all before it, and "relay" when the relay sends); 16 bytes. `crypto/relay-leg.ts` makes and checks it. */
  readonly tag: Uint8Array
}
type BindFields = LegTag & {
  /** 8 random bytes. */
  readonly nonce: Uint8Array
}
type LegCookieFields = LegTag & {
  /** 16 bytes: MAC16(secret of the relay, Path ID ‖ D ‖ address ‖ port ‖ seq). */
  readonly cookie: Uint8Array
}
type NoticeFields = LegTag & {
  readonly reason: NoticeReason
  /** The header of the datagram that caused it, as received; 16 bytes. */
  readonly trigger: Uint8Array
}
type ProbeFields = {
  /** 8 random bytes; the echo repeats them. */
  readonly nonce: Uint8Array
}

/** End → relay: my leg is where this comes from. 64 bytes. SEED 002 §3.3 (the Tunnel Request to the RS). */
export type BindDatagram = { readonly kind: 'bind' } & Leg & BindFields
/** Relay → end: prove that you receive there. 48 bytes. */
export type ChallengeDatagram = { readonly kind: 'challenge' } & Leg & LegCookieFields
/** End → relay: I do. 48 bytes. */
export type ConfirmDatagram = { readonly kind: 'confirm' } & Leg & LegCookieFields
/** Relay → end, in answer to no less than 64 bytes. 64 bytes. `seq` is the last one accepted on this leg, 0 = none. */
export type NoticeDatagram = { readonly kind: 'notice' } & Leg & NoticeFields
/** Node → relay it knows nothing of: how far are you? 32 bytes. D and counter are 0. */
export type ProbeDatagram = { readonly kind: 'probe' } & { /** Random, not 0. */ readonly id: number } & ProbeFields
/** Relay → whoever asked: the same bytes with the other type. 32 bytes. */
export type EchoDatagram = { readonly kind: 'echo' } & { readonly id: number } & ProbeFields
export type RelayLegDatagram =
  | BindDatagram
  | ChallengeDatagram
  | ConfirmDatagram
  | NoticeDatagram
  | ProbeDatagram
  | EchoDatagram
export type RelayLegKind = RelayLegDatagram['kind']

export const NOTICE_BYTES = 64
/** A datagram shorter than its Notice causes none. */
export const LEAST_NOTICED_BYTES = NOTICE_BYTES

const reason: Field<NoticeReason> = oneOf<NoticeReason>({ unbound: 1, limit: 2, expiring: 3, 'peer-unbound': 4 })
const tag = fixed(16)
const bind = { nonce: padded(fixed(8), 24), tag } satisfies Fields<BindFields>
const cookie = { cookie: fixed(16), tag } satisfies Fields<LegCookieFields>
const notice = { reason: padded(reason, 15), trigger: fixed(HEADER_BYTES), tag } satisfies Fields<NoticeFields>
const probe = { nonce: padded(fixed(8), 8) } satisfies Fields<ProbeFields>

/** Every datagram of class 5 once: its type, and the fields after the header. */
export const RELAY_LEG = {
  bind: { type: 1, fields: bind },
  challenge: { type: 2, fields: cookie },
  confirm: { type: 3, fields: cookie },
  notice: { type: 4, fields: notice },
  probe: { type: 5, fields: probe },
  echo: { type: 6, fields: probe },
} as const satisfies { readonly [K in RelayLegKind]: { readonly type: number; readonly fields: AnyFields } }

/** Bytes of the whole datagram. */
export const relayLegBytes = (kind: RelayLegKind): number => HEADER_BYTES + Number(sizeOf(RELAY_LEG[kind].fields))

/** The tag is written as given; `signLeg` of `crypto/relay-leg.ts` fills it in afterwards. */
export function encodeRelayLeg(d: RelayLegDatagram): Uint8Array {
  const { type, fields } = RELAY_LEG[d.kind]
  const w = new Writer()
  w.bytes(encodeHeader(headerOf(d, type)))
  writeFields(fields, w, d)
  return w.done()
}

/** Total; says nothing about the tag. */
export function decodeRelayLeg(bytes: Uint8Array): Decoded<RelayLegDatagram> {
  const header = readHeader(bytes)
  if (!header.ok) return header
  const h = header.value
  const kind = h.cls === CLASS_RELAY ? KINDS[h.flags & ~DIRECTION_BIT] : undefined
  if (kind === undefined) return refuse('unknown-kind')
  const r = new Reader(bytes.subarray(HEADER_BYTES))
  const fields = readFields(RELAY_LEG[kind].fields, r)
  r.end()
  if (r.fault !== null) return refuse(r.fault)
  const bare = kind === 'probe' || kind === 'echo'
  if (bare ? h.flags >> 7 !== 0 || h.counter !== 0 : kind !== 'notice' && h.counter === 0) return refuse('bad-value')
  const head = bare ? { id: h.id } : { path: pathId(h.id), direction: h.flags >> 7, seq: h.counter }
  return ok({ kind, ...head, ...fields } as RelayLegDatagram)
}

function headerOf(d: RelayLegDatagram, type: number): Header {
  if (d.kind === 'probe' || d.kind === 'echo') return { cls: CLASS_RELAY, flags: type, word: 0, id: d.id, counter: 0 }
  invariant(d.seq > 0 || d.kind === 'notice', `a ${d.kind} has a seq`)
  return { cls: CLASS_RELAY, flags: (d.direction << 7) | type, word: 0, id: d.path, counter: d.seq }
}

const KINDS: Readonly<Record<number, RelayLegKind>> = Object.fromEntries(
  Object.entries(RELAY_LEG).map(([kind, { type }]) => [type, kind as RelayLegKind]),
)
