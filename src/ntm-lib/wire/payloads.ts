import type { Endpoint } from '../addr/endpoint.ts'
import type { Fingerprint } from '../addr/ids.ts'
import { type Decoded, ok, refuse } from '../base/decoded.ts'
import { endpoint19, fingerprintField } from './address-field.ts'
import { type AnyFields, type Fields, fixed, padded, readFields, u8, u16, u64, writeFields } from './field.ts'
import { Reader } from './reader.ts'
import { Writer } from './writer.ts'

/** Every sealed handshake payload has this size, so that lengths tell nothing. Unused bytes are zero. */
export const PAYLOAD_BYTES = 112

type Opening = {
  /** The datagram's own 16 header bytes: comparing them authenticates the clear header. */
  readonly header: Uint8Array
}

/** Sealed in Hello and Enrol Hello. */
export type HelloPayload = Opening & {
  /** 8 random bytes of this start of the program. */
  readonly bootId: Uint8Array
  readonly versionMin: number
  readonly versionMax: number
  /** Bits as in a certificate's roles. */
  readonly roles: number
  readonly fingerprint: Fingerprint
}

/** Sealed in Welcome and Enrol Welcome. */
export type WelcomePayload = Opening & {
  /** Source of the Hello as the coordinator saw it. */
  readonly observed: Endpoint
  /** The coordinator's wall clock, ms since 1970 UTC. */
  readonly timeMillis: number
  readonly version: number
  readonly keepAliveSeconds: number
  readonly revocationVersion: number
  /** 16 bytes with which the coordinator may later say that it forgot this session (class 6). */
  readonly resetToken: Uint8Array
}

type TunnelOpening = Opening & {
  /** 8 random bytes of this start of the program. */
  readonly bootId: Uint8Array
  /** Serial of the sender's membership certificate. */
  readonly membershipSerial: number
  /** Newest revocation list the sender holds. */
  readonly revocationVersion: number
  /** 16 bytes with which the sender may later say that it forgot this path (class 6). */
  readonly resetToken: Uint8Array
  /** Largest inner packet the sender takes, whole or in halves. */
  readonly innerMtuBytes: number
}

/** Sealed in Tunnel Request (P1). */
export type TunnelRequestPayload = TunnelOpening & {
  /** Bit 0 ChaCha20-Poly1305, bit 1 AES-128-GCM, bit 2 AES-256-GCM. */
  readonly suiteMask: number
  readonly features: number
  readonly versionMin: number
  readonly versionMax: number
}

/** Sealed in Tunnel Response (P2). */
export type TunnelResponsePayload = TunnelOpening & {
  /** Bit number of the chosen suite. */
  readonly suite: number
  /** 0 = accepted, 1 = no version or suite in common. The key of a refused handshake is not used. */
  readonly verdict: number
  readonly features: number
  readonly version: number
  readonly retryAfterSeconds: number
}

export const encodeHelloPayload = (p: HelloPayload): Uint8Array => encode(PAYLOADS.hello, p)
export const decodeHelloPayload = (bytes: Uint8Array): Decoded<HelloPayload> => decode(PAYLOADS.hello, bytes)
export const encodeWelcomePayload = (p: WelcomePayload): Uint8Array => encode(PAYLOADS.welcome, p)
export const decodeWelcomePayload = (bytes: Uint8Array): Decoded<WelcomePayload> => decode(PAYLOADS.welcome, bytes)
export const encodeTunnelRequestPayload = (p: TunnelRequestPayload): Uint8Array => encode(PAYLOADS['tunnel-request'], p)
export const decodeTunnelRequestPayload = (bytes: Uint8Array): Decoded<TunnelRequestPayload> =>
  decode(PAYLOADS['tunnel-request'], bytes)
export const encodeTunnelResponsePayload = (p: TunnelResponsePayload): Uint8Array =>
  encode(PAYLOADS['tunnel-response'], p)
export const decodeTunnelResponsePayload = (bytes: Uint8Array): Decoded<TunnelResponsePayload> =>
  decode(PAYLOADS['tunnel-response'], bytes)

const opening = { header: fixed(16), bootId: fixed(8) }
const tunnelOpening = {
  ...opening,
  membershipSerial: u64,
  revocationVersion: u64,
  resetToken: fixed(16),
  innerMtuBytes: u16,
}

/** Fields in wire order; zero up to 112 bytes follows. */
export const PAYLOADS = {
  hello: {
    ...opening,
    versionMin: u8,
    versionMax: u8,
    roles: u16,
    fingerprint: fingerprintField,
  } satisfies Fields<HelloPayload>,
  welcome: {
    header: fixed(16),
    observed: endpoint19,
    timeMillis: u64,
    version: u8,
    keepAliveSeconds: u16,
    revocationVersion: u64,
    resetToken: fixed(16),
  } satisfies Fields<WelcomePayload>,
  'tunnel-request': {
    ...tunnelOpening,
    suiteMask: u16,
    features: u16,
    versionMin: u8,
    versionMax: u8,
  } satisfies Fields<TunnelRequestPayload>,
  'tunnel-response': {
    ...tunnelOpening,
    suite: u8,
    verdict: u8,
    features: u16,
    version: padded(u8, 1),
    retryAfterSeconds: u16,
  } satisfies Fields<TunnelResponsePayload>,
} as const

function encode(fields: AnyFields, payload: object): Uint8Array {
  const w = new Writer()
  writeFields(fields, w, payload as Readonly<Record<string, unknown>>)
  w.zeros(PAYLOAD_BYTES - w.length)
  return w.done()
}

function decode<P>(fields: AnyFields, bytes: Uint8Array): Decoded<P> {
  if (bytes.length !== PAYLOAD_BYTES) return refuse(bytes.length < PAYLOAD_BYTES ? 'short' : 'long')
  const r = new Reader(bytes)
  const payload = readFields(fields, r)
  r.zeros(r.left)
  return r.fault === null ? ok(payload as P) : refuse(r.fault)
}
