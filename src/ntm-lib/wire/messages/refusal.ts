import { clipped8, type Fields, oneOf, u16, u32 } from '../field.ts'

/** Why a request was turned down. Closed: each is a counter and a log field. */
export type RefusalCode =
  | 'unknown-name'
  | 'forbidden'
  | 'crossed'
  | 'path-id-in-use'
  | 'pool-exhausted'
  | 'peer-silent'
  | 'relay-full'
  | 'revoked'
  | 'expired'
  | 'version'
  | 'busy'
  | 'unsupported'
  | 'no-route'
  | 'bad-address'
  | 'unknown-token'
  | 'duplicate-name'
  | 'not-registered'
  | 'resolver-down'

/** Kind 0x0F, always a response: no, and why. */
export type Refusal = {
  readonly kind: 'refusal'
  readonly code: RefusalCode
  /** 0 = do not retry unasked. */
  readonly retryAfterMillis: number
  /** At most 120 bytes of UTF-8, for the operator; longer text is cut when it is sent. */
  readonly text: string
}

export const refusal = {
  code: oneOf<RefusalCode>(
    {
      'unknown-name': 1,
      forbidden: 2,
      crossed: 3,
      'path-id-in-use': 4,
      'pool-exhausted': 5,
      'peer-silent': 6,
      'relay-full': 7,
      revoked: 8,
      expired: 9,
      version: 10,
      busy: 11,
      unsupported: 12,
      'no-route': 13,
      'bad-address': 14,
      'unknown-token': 15,
      'duplicate-name': 16,
      'not-registered': 17,
      'resolver-down': 18,
    },
    u16,
  ),
  retryAfterMillis: u32,
  text: clipped8(120),
} satisfies Fields<Refusal>
