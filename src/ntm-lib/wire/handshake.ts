import { type Decoded, ok, refuse } from '../base/decoded.ts'
import { invariant } from '../base/invariant.ts'
import { type AnyFields, type Fields, fixed, readFields, sizeOf, writeFields } from './field.ts'
import {
  CLASS_CONTROL_HANDSHAKE,
  CLASS_TUNNEL_HANDSHAKE,
  DIRECTION_BIT,
  encodeHeader,
  HEADER_BYTES,
  type Header,
  type HeaderClass,
  readHeader,
} from './header.ts'
import { Reader } from './reader.ts'
import { Writer } from './writer.ts'

/** Type codes of class 1. */
export const TYPE_HELLO = 1
export const TYPE_WELCOME = 2
export const TYPE_CONTROL_COOKIE = 3
export const TYPE_ENROL_HELLO = 4
export const TYPE_ENROL_WELCOME = 5
/** Type codes of class 3, byte 1 without the direction bit. */
export const TYPE_TUNNEL_REQUEST = 1
export const TYPE_TUNNEL_RESPONSE = 2
export const TYPE_TUNNEL_COOKIE = 3
export const TYPE_KNOCK = 4

type Headed = { readonly header: Header }
type Tags = {
  /** 16 bytes over everything before it, keyed by something only a legitimate sender knows. */
  readonly tag1: Uint8Array
  /** 16 bytes over everything before it, keyed by the receiver's cookie; zero when there was none. */
  readonly tag2: Uint8Array
}
type FirstFields = Tags & {
  /** 32 bytes: the sender's ephemeral X25519 key. */
  readonly e: Uint8Array
  /** 48 bytes: the sender's static key, sealed. */
  readonly encStatic: Uint8Array
  /** 128 bytes: the payload, sealed. */
  readonly encPayload: Uint8Array
}
type SecondFields = Omit<FirstFields, 'encStatic'>
type TokenFields = {
  /** 8 bytes, in clear: which enrolment token's key opens this. */
  readonly tokenId: Uint8Array
}
type KnockFields = {
  /** 16 bytes over the header, keyed like tag1 of a Tunnel Request. */
  readonly tag1: Uint8Array
}
type CookieFields = {
  /** 16 bytes. */
  readonly nonce: Uint8Array
  /** 32 bytes: the cookie, sealed with the tag1 of the datagram it answers. */
  readonly sealed: Uint8Array
}

/** Node → coordinator: first message of Noise IK. 256 bytes. */
export type HelloDatagram = Headed & FirstFields
/** Coordinator → node: second message of Noise IK. 208 bytes. */
export type WelcomeDatagram = Headed & SecondFields
/** "Prove your address first": smaller than any datagram it answers. 64 bytes, class 1 and 3. */
export type CookieDatagram = Headed & CookieFields
/** Node with an enrolment token → coordinator: first message of Noise IKpsk2. 264 bytes. */
export type EnrolHello = Headed & TokenFields & FirstFields
/** The answer to it. 216 bytes. */
export type EnrolWelcome = Headed & TokenFields & SecondFields
/** One end of a path → the other: first message of Noise IKpsk2. 256 bytes. SEED 003 §3.3. */
export type TunnelRequestDatagram = Headed & FirstFields
/** The answer to it. 208 bytes. */
export type TunnelResponseDatagram = Headed & SecondFields
/**
 * One end of a path → the other: opens the sender's own NAT or firewall towards the peer. Its receiver counts it and does
 * nothing. 32 bytes; the epoch in its header is 0, the try 1.
 */
export type KnockDatagram = Headed & KnockFields

const token = { tokenId: fixed(8) } satisfies Fields<TokenFields>
const second = { e: fixed(32), encPayload: fixed(128), tag1: fixed(16), tag2: fixed(16) } satisfies Fields<SecondFields>
const { e, ...rest } = second
const first = { e, encStatic: fixed(48), ...rest } satisfies Fields<FirstFields>
const knock = { tag1: fixed(16) } satisfies Fields<KnockFields>
const cookie = { nonce: fixed(16), sealed: fixed(32) } satisfies Fields<CookieFields>

/** Every handshake datagram once: class, type and the fields after the header. */
export const HANDSHAKES = {
  hello: { cls: CLASS_CONTROL_HANDSHAKE, type: TYPE_HELLO, fields: first },
  welcome: { cls: CLASS_CONTROL_HANDSHAKE, type: TYPE_WELCOME, fields: second },
  'control-cookie': { cls: CLASS_CONTROL_HANDSHAKE, type: TYPE_CONTROL_COOKIE, fields: cookie },
  'enrol-hello': { cls: CLASS_CONTROL_HANDSHAKE, type: TYPE_ENROL_HELLO, fields: { ...token, ...first } },
  'enrol-welcome': { cls: CLASS_CONTROL_HANDSHAKE, type: TYPE_ENROL_WELCOME, fields: { ...token, ...second } },
  'tunnel-request': { cls: CLASS_TUNNEL_HANDSHAKE, type: TYPE_TUNNEL_REQUEST, fields: first },
  'tunnel-response': { cls: CLASS_TUNNEL_HANDSHAKE, type: TYPE_TUNNEL_RESPONSE, fields: second },
  'tunnel-cookie': { cls: CLASS_TUNNEL_HANDSHAKE, type: TYPE_TUNNEL_COOKIE, fields: cookie },
  knock: { cls: CLASS_TUNNEL_HANDSHAKE, type: TYPE_KNOCK, fields: knock },
} as const satisfies Readonly<Record<string, Layout>>
export type HandshakeName = keyof typeof HANDSHAKES

/** Bytes of the whole datagram. */
export const handshakeBytes = (name: HandshakeName): number => HEADER_BYTES + Number(sizeOf(HANDSHAKES[name].fields))

export const splitHello = (bytes: Uint8Array): Decoded<HelloDatagram> => split('hello', bytes)
export const splitWelcome = (bytes: Uint8Array): Decoded<WelcomeDatagram> => split('welcome', bytes)
export const splitControlCookie = (bytes: Uint8Array): Decoded<CookieDatagram> => split('control-cookie', bytes)
export const splitEnrolHello = (bytes: Uint8Array): Decoded<EnrolHello> => split('enrol-hello', bytes)
export const splitEnrolWelcome = (bytes: Uint8Array): Decoded<EnrolWelcome> => split('enrol-welcome', bytes)
export const splitTunnelRequest = (bytes: Uint8Array): Decoded<TunnelRequestDatagram> => split('tunnel-request', bytes)
export const splitTunnelResponse = (bytes: Uint8Array): Decoded<TunnelResponseDatagram> =>
  split('tunnel-response', bytes)
export const splitTunnelCookie = (bytes: Uint8Array): Decoded<CookieDatagram> => split('tunnel-cookie', bytes)
export const splitKnock = (bytes: Uint8Array): Decoded<KnockDatagram> => split('knock', bytes)

export const joinHello = (d: HelloDatagram): Uint8Array => join('hello', d)
export const joinWelcome = (d: WelcomeDatagram): Uint8Array => join('welcome', d)
export const joinControlCookie = (d: CookieDatagram): Uint8Array => join('control-cookie', d)
export const joinEnrolHello = (d: EnrolHello): Uint8Array => join('enrol-hello', d)
export const joinEnrolWelcome = (d: EnrolWelcome): Uint8Array => join('enrol-welcome', d)
export const joinTunnelRequest = (d: TunnelRequestDatagram): Uint8Array => join('tunnel-request', d)
export const joinTunnelResponse = (d: TunnelResponseDatagram): Uint8Array => join('tunnel-response', d)
export const joinTunnelCookie = (d: CookieDatagram): Uint8Array => join('tunnel-cookie', d)
export const joinKnock = (d: KnockDatagram): Uint8Array => join('knock', d)

type Layout = { readonly cls: HeaderClass; readonly type: number; readonly fields: AnyFields }

function split<D extends Headed>(name: HandshakeName, bytes: Uint8Array): Decoded<D> {
  const layout = HANDSHAKES[name]
  const header = readHeader(bytes)
  if (!header.ok) return header
  if (!belongs(header.value, layout)) return refuse('unknown-kind')
  const r = new Reader(bytes.subarray(HEADER_BYTES))
  const fields = readFields(layout.fields, r)
  r.end()
  return r.fault === null ? ok({ header: header.value, ...fields } as unknown as D) : refuse(r.fault)
}

function join(name: HandshakeName, d: Headed): Uint8Array {
  const layout = HANDSHAKES[name]
  invariant(belongs(d.header, layout), `the header of ${name} has class ${d.header.cls}, flags ${d.header.flags}`)
  const w = new Writer()
  w.bytes(encodeHeader(d.header))
  writeFields(layout.fields, w, d as unknown as Readonly<Record<string, unknown>>)
  return w.done()
}

const belongs = (h: Header, layout: Layout): boolean =>
  h.cls === layout.cls && (h.cls === CLASS_TUNNEL_HANDSHAKE ? h.flags & ~DIRECTION_BIT : h.flags) === layout.type
