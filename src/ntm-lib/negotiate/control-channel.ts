import type { SessionId } from '../addr/ids.ts'
import type { Decoded } from '../base/decoded.ts'
import { refuse } from '../base/decoded.ts'
import type { NoiseKeys } from '../crypto/noise.ts'
import { controlKey, type Direction } from '../crypto/schedule.ts'
import { OpenKey, SealKey } from '../crypto/seal.ts'
import type { CryptoSuite } from '../crypto/suite.ts'
import {
  decodeEnvelopes,
  ENVELOPE_HEADER_BYTES,
  type Envelope,
  encodeEnvelopes,
  USUAL_ENVELOPES_BYTES,
} from '../wire/envelope.ts'
import { CLASS_CONTROL, DIRECTION_BIT, encodeHeader } from '../wire/header.ts'
import { LIMITS } from './timers.ts'

/** One finished control session: seals and opens class 2 datagrams. `docs/wire.md`, class 2. */
export class ControlChannel {
  readonly own: SessionId
  readonly peer: SessionId
  readonly #send: SealKey
  readonly #receive: OpenKey
  readonly #direction: Direction

  /** `direction` is 0 for the side that said Hello, 1 for the side that said Welcome. */
  constructor(suite: CryptoSuite, keys: NoiseKeys, direction: Direction, own: SessionId, peer: SessionId) {
    this.own = own
    this.peer = peer
    this.#direction = direction
    const [ours, theirs] = direction === 0 ? [keys.k1, keys.k2] : [keys.k2, keys.k1]
    this.#send = new SealKey(suite, controlKey(suite, ours, direction), 0)
    this.#receive = new OpenKey(suite, controlKey(suite, theirs, direction === 0 ? 1 : 0), 0)
  }

  /** Datagrams that carry the envelopes, as few as fit. An empty list makes one empty datagram: it proves the key. */
  seal(envelopes: readonly Envelope[]): readonly Uint8Array[] {
    return packed(envelopes).flatMap((group) => {
      const header = encodeHeader({
        cls: CLASS_CONTROL,
        flags: this.#direction === 1 ? DIRECTION_BIT : 0,
        word: 0,
        id: this.peer,
        counter: 0,
      })
      return this.#send.seal(header, encodeEnvelopes(group)) ?? []
    })
  }

  /** The envelopes of a genuine, new datagram; its faults as values. */
  open(datagram: Uint8Array): Decoded<Envelope[]> {
    if (((datagram[1] ?? 0) & DIRECTION_BIT) === (this.#direction === 1 ? DIRECTION_BIT : 0)) return refuse('bad-value')
    const plain = this.#receive.open(datagram)
    return plain === null ? refuse('bad-tag') : decodeEnvelopes(plain)
  }

  /** Counter of the newest datagram opened; rises only with newer ones. */
  get newest(): number {
    return this.#receive.newest(0)
  }

  get wantsRekey(): boolean {
    return this.#send.packets >= LIMITS.controlRekeyPackets
  }
}

function packed(envelopes: readonly Envelope[]): readonly (readonly Envelope[])[] {
  const groups: Envelope[][] = [[]]
  let room = USUAL_ENVELOPES_BYTES
  for (const e of envelopes) {
    const bytes = ENVELOPE_HEADER_BYTES + e.body.length
    if (bytes > room) {
      groups.push([])
      room = USUAL_ENVELOPES_BYTES
    }
    groups.at(-1)?.push(e)
    room -= bytes
  }
  return groups
}
