import fc from 'fast-check'
import type { Decoded } from '#ntm-lib/base/decoded.ts'
import { refuse } from '#ntm-lib/base/decoded.ts'
import {
  decodeNtmService,
  decodeNtmv4,
  decodeNtmv6,
  encodeNtmService,
  encodeNtmv4,
  encodeNtmv6,
} from '#ntm-lib/dns/records.ts'
import { decodeSvcb, encodeSvcb } from '#ntm-lib/dns/svcb.ts'
import { decodeSignedCertificate, encodeCertificateBody, joinCertificate } from '#ntm-lib/wire/certificate.ts'
import { decodeMessage, encodeMessage } from '#ntm-lib/wire/codec.ts'
import { decodeContract, encodeContract } from '#ntm-lib/wire/contract.ts'
import { decodeEnvelopes, encodeEnvelopes, MAX_PART_BYTES } from '#ntm-lib/wire/envelope.ts'
import { decodeFrames, encodeFrames } from '#ntm-lib/wire/frames.ts'
import * as hs from '#ntm-lib/wire/handshake.ts'
import { encodeHeader, HEADER_BYTES, readHeader } from '#ntm-lib/wire/header.ts'
import type { Message } from '#ntm-lib/wire/message.ts'
import * as pl from '#ntm-lib/wire/payloads.ts'
import { decodeRelayLeg, encodeRelayLeg } from '#ntm-lib/wire/relay-leg.ts'
import { decodeReset, encodeReset, type Reset } from '#ntm-lib/wire/reset.ts'
import * as any from './wire-arbitraries.ts'

/** One thing that crosses the wire, as the golden vectors and the properties use it. */
export type Codec = {
  decode(bytes: Uint8Array): Decoded<unknown>
  encode(value: never): Uint8Array
  readonly values: fc.Arbitrary<unknown>
  /** A sequence that may end after any element: a prefix of it can be a shorter sequence. */
  readonly sequence?: true
  /** Passes over what it does not know: other bytes can mean the same value. */
  readonly lenient?: true
}

const codec = <T>(
  decode: (bytes: Uint8Array) => Decoded<T>,
  encode: (value: T) => Uint8Array,
  values: fc.Arbitrary<T>,
  more: Pick<Codec, 'sequence' | 'lenient'> = {},
): Codec => ({ decode, encode: encode as Codec['encode'], values, ...more })

const first = { e: any.bytes(32), encStatic: any.bytes(48), encPayload: any.bytes(128), ...tags() }
const second = { e: any.bytes(32), encPayload: any.bytes(128), ...tags() }
const cookie = { nonce: any.bytes(16), sealed: any.bytes(32) }
const tokenId = any.bytes(8)
const tunnelOpening = {
  header: any.bytes(16),
  bootId: any.bytes(8),
  membershipSerial: any.uint(64),
  revocationVersion: any.uint(64),
  resetToken: any.bytes(16),
  innerMtuBytes: any.uint(16),
}

/** A message with the two numbers of its transaction, as one envelope. */
type Enveloped = { readonly boot: number; readonly number: number; readonly message: Message }

export const CODECS = {
  header: codec(headerOnly, encodeHeader, any.header),
  hello: codec(hs.splitHello, hs.joinHello, fc.record({ header: any.headerOf(1, 1), ...first })),
  welcome: codec(hs.splitWelcome, hs.joinWelcome, fc.record({ header: any.headerOf(1, 2), ...second })),
  'control-cookie': codec(
    hs.splitControlCookie,
    hs.joinControlCookie,
    fc.record({ header: any.headerOf(1, 3), ...cookie }),
  ),
  'enrol-hello': codec(
    hs.splitEnrolHello,
    hs.joinEnrolHello,
    fc.record({ header: any.headerOf(1, 4), tokenId, ...first }),
  ),
  'enrol-welcome': codec(
    hs.splitEnrolWelcome,
    hs.joinEnrolWelcome,
    fc.record({ header: any.headerOf(1, 5), tokenId, ...second }),
  ),
  'tunnel-request': codec(
    hs.splitTunnelRequest,
    hs.joinTunnelRequest,
    fc.record({ header: any.headerOf(3, 1), ...first }),
  ),
  'tunnel-response': codec(
    hs.splitTunnelResponse,
    hs.joinTunnelResponse,
    fc.record({ header: any.headerOf(3, 2), ...second }),
  ),
  'tunnel-cookie': codec(
    hs.splitTunnelCookie,
    hs.joinTunnelCookie,
    fc.record({ header: any.headerOf(3, 3), ...cookie }),
  ),
  knock: codec(hs.splitKnock, hs.joinKnock, fc.record({ header: any.headerOf(3, 4), tag1: any.bytes(16) })),
  'hello-payload': codec(
    pl.decodeHelloPayload,
    pl.encodeHelloPayload,
    fc.record({
      header: any.bytes(16),
      bootId: any.bytes(8),
      versionMin: any.uint(8),
      versionMax: any.uint(8),
      roles: any.uint(16),
      fingerprint: any.fingerprintBytes,
    }),
  ),
  'welcome-payload': codec(
    pl.decodeWelcomePayload,
    pl.encodeWelcomePayload,
    fc.record({
      header: any.bytes(16),
      observed: any.endpoint,
      timeMillis: any.uint(64),
      version: any.uint(8),
      keepAliveSeconds: any.uint(16),
      revocationVersion: any.uint(64),
      resetToken: any.bytes(16),
    }),
  ),
  'tunnel-request-payload': codec(
    pl.decodeTunnelRequestPayload,
    pl.encodeTunnelRequestPayload,
    fc.record({
      ...tunnelOpening,
      suiteMask: any.uint(16),
      features: any.uint(16),
      versionMin: any.uint(8),
      versionMax: any.uint(8),
    }),
  ),
  'tunnel-response-payload': codec(
    pl.decodeTunnelResponsePayload,
    pl.encodeTunnelResponsePayload,
    fc.record({
      ...tunnelOpening,
      suite: any.uint(8),
      verdict: any.uint(8),
      features: any.uint(16),
      version: any.uint(8),
      retryAfterSeconds: any.uint(16),
    }),
  ),
  envelopes: codec(decodeEnvelopes, encodeEnvelopes, fc.array(any.envelope, { maxLength: 4 }), { sequence: true }),
  message: codec(
    decodeEnveloped,
    encodeEnveloped,
    fc
      .record({ boot: any.uint(32), number: any.uint(32), message: any.message })
      .filter((m) => encodeMessage(m.message).body.length <= MAX_PART_BYTES),
  ),
  contract: codec(decodeContract, encodeContract, any.contract),
  certificate: codec(
    decodeSignedCertificate,
    (c) => joinCertificate(encodeCertificateBody(c.certificate), c.signature),
    fc.record({ certificate: any.certificate, signature: any.bytes(64) }).map((c) => {
      const body = encodeCertificateBody(c.certificate)
      return { ...c, body, bytes: joinCertificate(body, c.signature) }
    }),
  ),
  reset: codec(
    decodeReset,
    encodeReset,
    fc.record<Reset>({
      about: fc.constantFrom('path', 'session'),
      id: any.uint(48).map((n) => Math.max(1, n)),
      token: any.bytes(16),
    }),
  ),
  'relay-leg': codec(decodeRelayLeg, encodeRelayLeg, any.relayLegDatagram),
  frames: codec(decodeFrames, encodeFrames, fc.array(any.frame, { maxLength: 6 }), { sequence: true, lenient: true }),
  ntmv4: codec(decodeNtmv4, encodeNtmv4, any.ntmRecord(any.ip4)),
  ntmv6: codec(decodeNtmv6, encodeNtmv6, any.ntmRecord(any.ip6)),
  svcb: codec(
    decodeSvcb,
    encodeSvcb,
    fc.record({
      priority: any.uint(16),
      target: any.hostName,
      params: fc
        .uniqueArray(fc.record({ key: any.uint(16), value: any.upTo(20) }), { selector: (p) => p.key, maxLength: 4 })
        .map((all) => all.toSorted((a, b) => a.key - b.key)),
    }),
    { sequence: true, lenient: true },
  ),
  'ntm-service': codec(decodeNtmService, encodeNtmService, any.ntmService, { lenient: true, sequence: true }),
} as const satisfies Readonly<Record<string, Codec>>

function tags() {
  return { tag1: any.bytes(16), tag2: any.bytes(16) }
}

function headerOnly(bytes: Uint8Array) {
  return bytes.length > HEADER_BYTES ? refuse('long') : readHeader(bytes)
}

function encodeEnveloped({ boot, number, message }: Enveloped): Uint8Array {
  return encodeEnvelopes([{ ...encodeMessage(message), boot, number, part: 0, parts: 1 }])
}

function decodeEnveloped(bytes: Uint8Array): Decoded<Enveloped> {
  const list = decodeEnvelopes(bytes)
  if (!list.ok) return list
  const [e, ...rest] = list.value
  if (e === undefined) return refuse('short')
  if (rest.length > 0) return refuse('long')
  if (e.parts !== 1) return refuse('bad-value')
  const message = decodeMessage(e.code, e.response, e.refusal, e.body)
  return message.ok ? { ok: true, value: { boot: e.boot, number: e.number, message: message.value } } : message
}
