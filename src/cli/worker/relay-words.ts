import type { RefusalCode } from '#ntm-lib/wire/messages/refusal.ts'
import type { RelayDirection } from '#ntm-lib/wire/messages/relay.ts'
import type { RelaySettings } from '#relay/settings.ts'

export type RelayPlaneConfig = RelaySettings

/** To the relay's packet side. `direct` and `load` are asked, `release` may be told. */
export type RelayIn =
  | { readonly say: 'direct'; readonly direction: RelayDirection }
  | { readonly say: 'release'; readonly pathId: number }
  | { readonly say: 'load' }
  /** Asked: a `RelayShown`. */
  | { readonly say: 'legs' }

/** Ends that are bound, and those whose last Bind came from elsewhere and waits for its Confirm. */
export type RelayShown = { readonly bound: number; readonly pending: number }

/** What `ask` answers to the others; `refused` only ever after `direct`. */
export type RelaySays = {
  readonly refused: RefusalCode | null
  readonly paths: number
  readonly loadPercent: number
}
