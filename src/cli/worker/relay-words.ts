import type { RefusalCode } from '#ntm-lib/wire/messages/refusal.ts'
import type { RelayDirection } from '#ntm-lib/wire/messages/relay.ts'
import type { RelaySettings } from '#relay/settings.ts'

export type RelayPlaneConfig = RelaySettings

/** To the relay's packet side. `direct` and `load` are asked, `release` may be told. */
export type RelayIn =
  | { readonly say: 'direct'; readonly direction: RelayDirection }
  | { readonly say: 'release'; readonly pathId: number }
  | { readonly say: 'load' }

/** What `ask` answers; `refused` only ever after `direct`. */
export type RelaySays = {
  readonly refused: RefusalCode | null
  readonly paths: number
  readonly loadPercent: number
}
