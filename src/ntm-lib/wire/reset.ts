import { type Decoded, ok, refuse } from '../base/decoded.ts'
import { invariant } from '../base/invariant.ts'
import { CLASS_RESET, encodeHeader, HEADER_BYTES, readHeader } from './header.ts'

/** "I no longer know this id": believed only when the token is the one its owner announced while it did. Class 6. */
export type Reset = {
  readonly about: 'path' | 'session'
  /** Path ID or the receiver's session id. */
  readonly id: number
  /** 16 bytes. */
  readonly token: Uint8Array
}

export const RESET_TOKEN_BYTES = 16
export const RESET_BYTES = HEADER_BYTES + RESET_TOKEN_BYTES

export function encodeReset(reset: Reset): Uint8Array {
  invariant(reset.token.length === RESET_TOKEN_BYTES, `a reset token is 16 bytes, got ${reset.token.length}`)
  const bytes = new Uint8Array(RESET_BYTES)
  bytes.set(
    encodeHeader({ cls: CLASS_RESET, flags: reset.about === 'path' ? 1 : 2, word: 0, id: reset.id, counter: 0 }),
  )
  bytes.set(reset.token, HEADER_BYTES)
  return bytes
}

export function decodeReset(bytes: Uint8Array): Decoded<Reset> {
  const header = readHeader(bytes)
  if (!header.ok) return header
  if (header.value.cls !== CLASS_RESET) return refuse('unknown-kind')
  if (bytes.length !== RESET_BYTES) return refuse(bytes.length < RESET_BYTES ? 'short' : 'long')
  const { flags, id } = header.value
  return ok({ about: flags === 1 ? 'path' : 'session', id, token: bytes.slice(HEADER_BYTES) })
}
