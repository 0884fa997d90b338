import type { Endpoint } from '../addr/endpoint.ts'
import { type Fingerprint, type SessionId, sessionId } from '../addr/ids.ts'
import { same } from '../base/bytes.ts'
import { type Decoded, ok, refuse } from '../base/decoded.ts'
import { invariant } from '../base/invariant.ts'
import { checkTag1, writeTags } from '../crypto/cookie.ts'
import { HandshakeInitiator, HandshakeResponder, type NoiseKeys } from '../crypto/noise.ts'
import { controlKeyId, controlPrologue, controlTagKey, nodeIdOf } from '../crypto/schedule.ts'
import type { CryptoSuite, KeyPair } from '../crypto/suite.ts'
import {
  type EnrolHello,
  type HelloDatagram,
  joinEnrolHello,
  joinEnrolWelcome,
  joinHello,
  joinWelcome,
  splitEnrolWelcome,
  splitWelcome,
  TYPE_ENROL_HELLO,
  TYPE_ENROL_WELCOME,
  TYPE_HELLO,
  TYPE_WELCOME,
} from '../wire/handshake.ts'
import { CLASS_CONTROL_HANDSHAKE, encodeHeader, type Header } from '../wire/header.ts'
import {
  decodeHelloPayload,
  decodeWelcomePayload,
  encodeHelloPayload,
  encodeWelcomePayload,
  type HelloPayload,
  type WelcomePayload,
} from '../wire/payloads.ts'

/** What a node needs to call its coordinator. */
export type Caller = {
  readonly suite: CryptoSuite
  readonly self: KeyPair
  readonly fingerprint: Fingerprint
  readonly coordinatorKey: Uint8Array
  readonly bootId: Uint8Array
  readonly roles: number
}

/** The pre-shared key of an enrolment token and the id it is found by. */
export type EnrolSecret = { readonly tokenId: Uint8Array; readonly psk: Uint8Array }

/** A Hello on its way: the bytes to (re)send and the handshake that waits for the Welcome. */
export type Hello = {
  readonly bytes: Uint8Array
  readonly session: SessionId
  readonly handshake: HandshakeInitiator
  readonly enrol: EnrolSecret | null
}

/** Null when the coordinator's key is not a usable point. */
export function makeHello(caller: Caller, enrol: EnrolSecret | null, session: SessionId): Hello | null {
  const { suite, self, fingerprint, coordinatorKey, bootId, roles } = caller
  const firstType = enrol === null ? TYPE_HELLO : TYPE_ENROL_HELLO
  const header: Header = {
    cls: CLASS_CONTROL_HANDSHAKE,
    flags: firstType,
    word: controlKeyId(suite, coordinatorKey),
    id: 0,
    counter: session,
  }
  const handshake = new HandshakeInitiator({
    suite,
    pattern: enrol === null ? 'IK' : 'IKpsk2',
    prologue: controlPrologue({ fingerprint, coordinator: nodeIdOf(suite, coordinatorKey), firstType }),
    s: self,
    rs: coordinatorKey,
    ...(enrol === null ? {} : { psk: enrol.psk }),
  })
  const payload: HelloPayload = {
    header: encodeHeader(header),
    bootId,
    versionMin: 1,
    versionMax: 1,
    roles,
    fingerprint,
  }
  const message = handshake.writeMessage1(encodeHelloPayload(payload))
  if (message === null) return null
  const fields = { header, ...message, tag1: NO_TAG, tag2: NO_TAG }
  const bytes = enrol === null ? joinHello(fields) : joinEnrolHello({ ...fields, tokenId: enrol.tokenId })
  writeTags(suite, bytes, controlTagKey(suite, coordinatorKey))
  return { bytes, session, handshake, enrol }
}

/** The same Hello with the coordinator's cookie in tag 2; the handshake is untouched. */
export function withCookie(caller: Caller, hello: Hello, cookie: Uint8Array): Hello {
  const bytes = hello.bytes.slice()
  writeTags(caller.suite, bytes, controlTagKey(caller.suite, caller.coordinatorKey), cookie)
  return { ...hello, bytes }
}

export type Welcomed = { readonly keys: NoiseKeys; readonly session: SessionId; readonly payload: WelcomePayload }

/** Reads the coordinator's answer; its faults as values, after which the Hello still waits for the true one. */
export function readWelcome(caller: Caller, hello: Hello, bytes: Uint8Array): Decoded<Welcomed> {
  const split = hello.enrol === null ? splitWelcome(bytes) : splitEnrolWelcome(bytes)
  if (!split.ok) return split
  const { header, e, encPayload } = split.value
  if (header.id !== hello.session) return refuse('bad-value')
  if (!checkTag1(caller.suite, bytes, controlTagKey(caller.suite, caller.self.public))) return refuse('bad-tag')
  const plain = hello.handshake.readMessage2({ e, encPayload })
  if (plain === null) return refuse('bad-tag')
  const payload = decodeWelcomePayload(plain)
  if (!payload.ok) return payload
  if (!same(payload.value.header, encodeHeader(header)) || header.counter === 0) return refuse('bad-value')
  return ok({ keys: hello.handshake.split(), session: sessionId(header.counter), payload: payload.value })
}

/** What a coordinator needs to read a Hello. */
export type Callee = { readonly suite: CryptoSuite; readonly self: KeyPair; readonly fingerprint: Fingerprint }

/** A Hello that was read and not acted upon: message 1 of IK is replayable, so nothing may follow from it but a Welcome. */
export type Called = {
  readonly hello: HelloDatagram | EnrolHello
  readonly payload: HelloPayload
  readonly staticKey: Uint8Array
  readonly responder: HandshakeResponder
}

/** Tag 1 and the key id are the caller's to check before: this costs two DH. */
export function readHello(callee: Callee, hello: HelloDatagram | EnrolHello): Decoded<Called> {
  const { suite, self, fingerprint } = callee
  const enrolling = 'tokenId' in hello
  const responder = new HandshakeResponder({
    suite,
    pattern: enrolling ? 'IKpsk2' : 'IK',
    prologue: controlPrologue({
      fingerprint,
      coordinator: nodeIdOf(suite, self.public),
      firstType: enrolling ? TYPE_ENROL_HELLO : TYPE_HELLO,
    }),
    s: self,
  })
  const read = responder.readMessage1(hello)
  if (read === null) return refuse('bad-tag')
  const payload = decodeHelloPayload(read.payload)
  if (!payload.ok) return payload
  if (!same(payload.value.header, encodeHeader(hello.header))) return refuse('bad-value')
  if (!same(payload.value.fingerprint, fingerprint)) return refuse('bad-value')
  if (payload.value.versionMin > 1 || payload.value.versionMax < 1) return refuse('bad-version')
  return ok({ hello, payload: payload.value, staticKey: read.rs, responder })
}

/** What the Welcome says besides the keys. */
export type WelcomeWords = Omit<WelcomePayload, 'header' | 'observed' | 'version'>

/** The Welcome to a Hello, and the keys it makes. Null when the caller's keys are low-order points. */
export function makeWelcome(
  callee: Callee,
  called: Called,
  from: Endpoint,
  session: SessionId,
  words: WelcomeWords,
  psk: Uint8Array | null,
): { readonly bytes: Uint8Array; readonly keys: NoiseKeys } | null {
  const { suite } = callee
  const enrolling = 'tokenId' in called.hello
  invariant(enrolling === (psk !== null), 'an Enrol Welcome has a psk and a Welcome has none')
  const header: Header = {
    cls: CLASS_CONTROL_HANDSHAKE,
    flags: enrolling ? TYPE_ENROL_WELCOME : TYPE_WELCOME,
    word: called.hello.header.word,
    id: called.hello.header.counter,
    counter: session,
  }
  const payload: WelcomePayload = { header: encodeHeader(header), observed: from, version: 1, ...words }
  const message = called.responder.writeMessage2(encodeWelcomePayload(payload), psk)
  if (message === null) return null
  const fields = { header, ...message, tag1: NO_TAG, tag2: NO_TAG }
  const bytes =
    'tokenId' in called.hello ? joinEnrolWelcome({ ...fields, tokenId: called.hello.tokenId }) : joinWelcome(fields)
  writeTags(suite, bytes, controlTagKey(suite, called.staticKey))
  return { bytes, keys: called.responder.split() }
}

const NO_TAG = new Uint8Array(16)
