import type { Refusal, RefusalCode } from '#ntm-lib/wire/messages/refusal.ts'

/** A no with its reason; `text` is for the operator, `retryAfterMillis` 0 asks not to be asked again unchanged. */
export const refusal = (code: RefusalCode, text: string, retryAfterMillis = 0): Refusal => ({
  kind: 'refusal',
  code,
  retryAfterMillis,
  text,
})
