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
  /** At most 120 bytes of UTF-8, for the operator. */
  readonly text: string
}
