import type { Instant } from '#ntm-lib/base/time.ts'
import type { EgressPolicy } from '#tt/egress.ts'
import { FlowTable, type FlowWatch } from '#tt/flows.ts'
import { Traffic } from '#tt/traffic.ts'
import type { TranslationTable } from '#tt/translation-table.ts'
import { TtLoop, type TtLoopParts } from './tt-loop.ts'

export type TtWireParts = TtLoopParts & {
  readonly table: TranslationTable
  readonly egress: EgressPolicy
  /** Told of every flow; null when nobody wants to know. */
  readonly watch: FlowWatch | null
}

/** The packet loop of the worker that holds the flows. */
export class TtWire extends TtLoop<Traffic> {
  readonly flows: FlowTable

  constructor(parts: TtWireParts) {
    const { seed, watch, table, egress } = parts
    const flows = new FlowTable({ total: 262_144, perNode: 65_536 }, seed, watch)
    super(parts, (crossing) => new Traffic({ ...crossing, table, egress, flows, seed }))
    this.flows = flows
  }

  get traffic(): Traffic {
    return this.path
  }

  tick(now: Instant): void {
    this.path.tick(now)
  }
}
