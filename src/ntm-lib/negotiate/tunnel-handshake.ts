import type { Fingerprint } from '../addr/ids.ts'
import { same } from '../base/bytes.ts'
import type { Instant } from '../base/time.ts'
import { writeTags } from '../crypto/cookie.ts'
import { HandshakeInitiator, HandshakeResponder, type NoiseKeys } from '../crypto/noise.ts'
import { type Direction, dataKey, directionKeys, tunnelPrologue, tunnelPsk, tunnelTagKey } from '../crypto/schedule.ts'
import { OpenKey, type OpenRefusals, SealKey } from '../crypto/seal.ts'
import type { CryptoSuite, KeyPair, SuiteId } from '../crypto/suite.ts'
import { joinTunnelRequest, joinTunnelResponse, splitTunnelRequest, splitTunnelResponse } from '../wire/handshake.ts'
import { CLASS_TUNNEL_HANDSHAKE, DIRECTION_BIT, encodeHeader, HEADER_BYTES, type Header } from '../wire/header.ts'
import {
  decodeTunnelRequestPayload,
  decodeTunnelResponsePayload,
  encodeTunnelRequestPayload,
  encodeTunnelResponsePayload,
  type TunnelRequestPayload,
  type TunnelResponsePayload,
} from '../wire/payloads.ts'
import type { Slot } from './tunnel-epochs.ts'

/** What a path's handshakes are keyed with. Prints as `[key]`; only this module takes the keys out. */
export class PathSecrets {
  readonly #psk: Uint8Array
  readonly #tagKeys: readonly [Uint8Array, Uint8Array]

  constructor(suite: CryptoSuite, pathSecret: Uint8Array, contractHash: Uint8Array) {
    this.#psk = tunnelPsk(suite, pathSecret, contractHash)
    this.#tagKeys = [tunnelTagKey(suite, pathSecret, 0), tunnelTagKey(suite, pathSecret, 1)]
  }

  get psk(): Uint8Array {
    return this.#psk
  }

  /** Key of tag 1 on what `sender` sends. */
  tagKey(sender: Direction): Uint8Array {
    return this.#tagKeys[sender]
  }

  /** Overwrites the keys; the path is gone. */
  forget(): void {
    for (const key of [this.#psk, ...this.#tagKeys]) key.fill(0)
  }

  toString(): string {
    return '[key]'
  }

  toJSON(): string {
    return '[key]'
  }
}

/** One end's view of the pair: what both must agree on, and which of them it is. */
export type Bond = {
  readonly suite: CryptoSuite
  readonly self: KeyPair
  readonly peerStatic: Uint8Array
  readonly fingerprint: Fingerprint
  readonly contractHash: Uint8Array
  readonly secrets: PathSecrets
  /** Our own D: 0 for the opener. */
  readonly direction: Direction
}

export type Outstanding = {
  readonly noise: HandshakeInitiator
  /** The whole Tunnel Request; sent again unchanged but for tag 2. */
  readonly bytes: Uint8Array
  readonly epoch: number
  readonly tryNumber: number
  readonly sentAt: Instant
}

/** A new Tunnel Request, 256 bytes; null when the peer's static key is no point that can be used. */
export function makeRequest(
  b: Bond,
  at: { readonly epoch: number; readonly id: number; readonly tryNumber: number },
  payload: Omit<TunnelRequestPayload, 'header'>,
  cookie: Uint8Array | null,
  now: Instant,
): Outstanding | null {
  const header = headerOf(b.direction, REQUEST, at.epoch, at.id, at.tryNumber)
  const prologue = prologueOf(b, at.epoch, b.direction)
  const noise = new HandshakeInitiator({
    suite: b.suite,
    pattern: 'IKpsk2',
    prologue,
    s: b.self,
    rs: b.peerStatic,
    psk: b.secrets.psk,
  })
  const m = noise.writeMessage1(encodeTunnelRequestPayload({ header: encodeHeader(header), ...payload }))
  if (m === null) return null
  const bytes = joinTunnelRequest({ header, ...m, tag1: NO_TAG, tag2: NO_TAG })
  writeTags(b.suite, bytes, b.secrets.tagKey(b.direction), cookie)
  return { noise, bytes, epoch: at.epoch, tryNumber: at.tryNumber, sentAt: now }
}

export type ReadRequest = { readonly noise: HandshakeResponder; readonly payload: TunnelRequestPayload }

/** A Tunnel Request whose tag 1 was right; null when it is not from the contract's peer about this contract. Costs DHs. */
export function readRequest(b: Bond, datagram: Uint8Array): ReadRequest | null {
  const split = splitTunnelRequest(datagram)
  if (!split.ok) return null
  const prologue = prologueOf(b, split.value.header.word, other(b.direction))
  const noise = new HandshakeResponder({ suite: b.suite, pattern: 'IKpsk2', prologue, s: b.self })
  const read = noise.readMessage1(split.value)
  if (read === null || !same(read.rs, b.peerStatic)) return null
  const payload = decodeTunnelRequestPayload(read.payload)
  if (!payload.ok || !same(payload.value.header, datagram.subarray(0, HEADER_BYTES))) return null
  return { noise, payload: payload.value }
}

/** The Tunnel Response to a request read before, 208 bytes, and the keys. Null for unusable ephemeral keys. */
export function makeResponse(
  b: Bond,
  request: Header,
  noise: HandshakeResponder,
  payload: Omit<TunnelResponsePayload, 'header'>,
): { readonly bytes: Uint8Array; readonly keys: NoiseKeys } | null {
  const header = headerOf(b.direction, RESPONSE, request.word, request.id, request.counter)
  const m = noise.writeMessage2(
    encodeTunnelResponsePayload({ header: encodeHeader(header), ...payload }),
    b.secrets.psk,
  )
  if (m === null) return null
  const bytes = joinTunnelResponse({ header, ...m, tag1: NO_TAG, tag2: NO_TAG })
  writeTags(b.suite, bytes, b.secrets.tagKey(b.direction))
  return { bytes, keys: noise.split() }
}

/**
 * The answer to `out`; null when it is not, and `out` stays usable. `spent` = it is the peer's, but says nothing we
 * understand: `out` is used up.
 */
export function readResponse(
  out: Outstanding,
  datagram: Uint8Array,
): { readonly payload: TunnelResponsePayload; readonly keys: NoiseKeys } | 'spent' | null {
  const split = splitTunnelResponse(datagram)
  if (!split.ok) return null
  const plain = out.noise.readMessage2(split.value)
  if (plain === null) return null
  const payload = decodeTunnelResponsePayload(plain)
  if (!payload.ok || !same(payload.value.header, datagram.subarray(0, HEADER_BYTES))) return 'spent'
  return { payload: payload.value, keys: out.noise.split() }
}

/**
 * The keys of an epoch for this end. `weInitiated` tells which of Noise's two keys is the opener's. With a `serial` they are kept for
 * packet workers too.
 */
export function slotFrom(
  b: Bond,
  keys: NoiseKeys,
  epoch: number,
  suiteId: SuiteId,
  weInitiated: boolean,
  refused: OpenRefusals,
  serial: number | null,
  now: Instant,
): Slot {
  const initiatorIsOpener = weInitiated === (b.direction === 0)
  const k = directionKeys(keys, initiatorIsOpener)
  const [mine, theirs] = [b.direction, other(b.direction)]
  const seal = dataKey(b.suite, k[mine], suiteId, mine, epoch)
  const open = dataKey(b.suite, k[theirs], suiteId, theirs, epoch)
  return {
    epoch,
    seal: new SealKey(b.suite, seal, epoch),
    open: new OpenKey(b.suite, open, epoch, { refused }),
    born: now,
    initiated: weInitiated,
    early: false,
    keys: serial === null ? null : { epoch, serial, seal, open },
  }
}

export const other = (d: Direction): Direction => (d === 0 ? 1 : 0)

/** Class 3 header. */
export const headerOf = (d: Direction, type: number, epoch: number, id: number, tryNumber: number): Header => ({
  cls: CLASS_TUNNEL_HANDSHAKE,
  flags: (d === 1 ? DIRECTION_BIT : 0) | type,
  word: epoch,
  id,
  counter: tryNumber,
})

const prologueOf = (b: Bond, epoch: number, initiator: Direction): Uint8Array =>
  tunnelPrologue({
    fingerprint: b.fingerprint,
    contractHash: b.contractHash,
    epoch,
    initiatorIsOpener: initiator === 0,
  })

const REQUEST = 1
const RESPONSE = 2
const NO_TAG = new Uint8Array(16)
