import { type Decoded, ok, refuse } from '../base/decoded.ts'
import { MAX_BODY_BYTES } from './envelope.ts'
import { type AnyFields, type Fields, readFields, writeFields } from './field.ts'
import type { Kind, Message } from './message.ts'
import {
  directionRequest,
  directionResponse,
  pathAccept,
  pathClose,
  pathCloseResponse,
  pathExtend,
  peerMoved,
  peerMovedResponse,
  routeDirection,
} from './messages/direction.ts'
import {
  coordinatorHello,
  coordinatorHelloResponse,
  foreignDirection,
  foreignMoved,
  foreignMovedResponse,
} from './messages/federation.ts'
import { certRenew, certRenewResponse } from './messages/membership.ts'
import { refusal } from './messages/refusal.ts'
import {
  locationConfirm,
  locationConfirmResponse,
  registration,
  registrationResponse,
} from './messages/registration.ts'
import { relayAccept, relayDirection, relayRelease, relayReleaseResponse } from './messages/relay.ts'
import { Reader } from './reader.ts'
import { Writer } from './writer.ts'

/** A message as an envelope carries it. */
export type EncodedMessage = {
  readonly code: number
  readonly response: boolean
  readonly refusal: boolean
  readonly body: Uint8Array
}

/**
 * Every message once: its code on the wire and its fields. Adding a kind without a row does not compile. A response
 * has the code of its request, except Path Accept and Direction Response (they answer two kinds), Relay Accept and Refusal
 * (it answers any).
 */
export const MESSAGES = {
  registration: { code: 0x01, as: 'request', fields: registration },
  'registration-response': { code: 0x01, as: 'response', fields: registrationResponse },
  'ntm-update': { code: 0x02, as: 'request', fields: registration },
  'ntm-update-response': { code: 0x02, as: 'response', fields: registrationResponse },
  'location-confirm': { code: 0x03, as: 'request', fields: locationConfirm },
  'location-confirm-response': { code: 0x03, as: 'response', fields: locationConfirmResponse },
  'direction-request': { code: 0x04, as: 'request', fields: directionRequest },
  'direction-response': { code: 0x04, as: 'response', fields: directionResponse },
  'route-direction': { code: 0x05, as: 'request', fields: routeDirection },
  'path-accept': { code: 0x06, as: 'response', fields: pathAccept },
  'relay-direction': { code: 0x07, as: 'request', fields: relayDirection },
  'relay-accept': { code: 0x08, as: 'response', fields: relayAccept },
  'path-extend': { code: 0x09, as: 'request', fields: pathExtend },
  'path-close': { code: 0x0a, as: 'request', fields: pathClose },
  'path-close-response': { code: 0x0a, as: 'response', fields: pathCloseResponse },
  'peer-moved': { code: 0x0b, as: 'request', fields: peerMoved },
  'peer-moved-response': { code: 0x0b, as: 'response', fields: peerMovedResponse },
  'cert-renew': { code: 0x0d, as: 'request', fields: certRenew },
  'cert-renew-response': { code: 0x0d, as: 'response', fields: certRenewResponse },
  refusal: { code: 0x0f, as: 'refusal', fields: refusal },
  'relay-release': { code: 0x10, as: 'request', fields: relayRelease },
  'relay-release-response': { code: 0x10, as: 'response', fields: relayReleaseResponse },
  'coordinator-hello': { code: 0x11, as: 'request', fields: coordinatorHello },
  'coordinator-hello-response': { code: 0x11, as: 'response', fields: coordinatorHelloResponse },
  'foreign-direction': { code: 0x12, as: 'request', fields: foreignDirection },
  'foreign-moved': { code: 0x13, as: 'request', fields: foreignMoved },
  'foreign-moved-response': { code: 0x13, as: 'response', fields: foreignMovedResponse },
} as const satisfies { readonly [K in Kind]: Row<Fields<OfKind<K>>> }

/** `splitBody` cuts the body for envelopes. A value that does not fit its field is a `BugError`. */
export function encodeMessage(message: Message): EncodedMessage {
  const row = rows[message.kind]
  const w = new Writer()
  writeFields(row.fields, w, message)
  return { code: row.code, response: row.as !== 'request', refusal: row.as === 'refusal', body: w.done() }
}

/** Total: any bytes give a message or a fault, never an exception. `unknown-kind` is for the session to answer. */
export function decodeMessage(code: number, response: boolean, refusal: boolean, body: Uint8Array): Decoded<Message> {
  const kind = kinds.get(keyOf(code, refusal ? (response ? 'refusal' : 'nonsense') : response ? 'response' : 'request'))
  if (kind === undefined) return refuse('unknown-kind')
  if (body.length > MAX_BODY_BYTES) return refuse('long')
  const r = new Reader(body)
  const fields = readFields(rows[kind].fields, r)
  r.end()
  return r.fault === null ? ok({ kind, ...fields } as Message) : refuse(r.fault)
}

type Row<F> = { readonly code: number; readonly as: 'request' | 'response' | 'refusal'; readonly fields: F }
/** The message type that has this kind; Registration and its response have two each. */
type OfKind<K extends Kind, M = Message> = M extends { readonly kind: Kind } ? (K extends M['kind'] ? M : never) : never

const rows: Readonly<Record<Kind, Row<AnyFields>>> = MESSAGES
const keyOf = (code: number, as: string): string => `${code} ${as}`
const kinds = new Map(Object.entries(rows).map(([kind, row]) => [keyOf(row.code, row.as), kind as Kind]))
