import type { NodeId } from '#ntm-lib/addr/ids.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import type { CoordinatorStore } from '#ntm-lib/ports/coordinator-store.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { Calendar, Random } from '#ntm-lib/ports/machine.ts'
import type { OtherZones } from './other-zones.ts'
import type { Sessions } from './sessions.ts'
import type { CoordinatorKeys, CoordinatorSettings } from './settings.ts'

/** What a coordinator is made from. */
export type CoordinatorParts = {
  readonly sessions: Sessions
  readonly store: CoordinatorStore
  readonly suite: CryptoSuite
  readonly calendar: Calendar
  readonly random: Random
  readonly log: Log
  readonly counters: Counters
  readonly settings: CoordinatorSettings
  readonly keys: CoordinatorKeys
  /** Coordinators of other zones; absent: there are none. */
  readonly zones?: OtherZones
}

/** What happened, for people and for whoever publishes records; nothing has to be done about it. */
export type CoordinatorOut =
  | { readonly event: 'enrolled' | 'online' | 'offline' | 'revoked'; readonly node: NodeId; readonly name: string }
  | {
      readonly event: 'directed'
      readonly initiator: NodeId
      readonly peer: NodeId
      readonly target: string
      readonly how: 'new' | 'standing'
    }
