import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import { RUN } from '#ntm-lib/plane/engine.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Machine } from '#ntm-lib/ports/machine.ts'
import type { RefusalCode } from '#ntm-lib/wire/messages/refusal.ts'
import type { RelayDirection } from '#ntm-lib/wire/messages/relay.ts'
import { RelayCore } from './core.ts'
import type { RelaySettings } from './settings.ts'
import { ipAt } from './table.ts'

export type RelayIn = { readonly from: Endpoint; readonly bytes: Uint8Array }
export type RelayOut =
  | { readonly out: 'send'; readonly to: Endpoint; readonly bytes: Uint8Array }
  /** None of a relay's business. */
  | { readonly out: 'pass'; readonly from: Endpoint; readonly bytes: Uint8Array }

/** The relay one datagram at a time, for worlds without sockets: simulations and tests. */
export class RelayMachine implements Machine<RelayIn, RelayOut> {
  readonly core: RelayCore
  readonly #outs: RelayOut[] = []

  constructor(settings: RelaySettings, suite: CryptoSuite, counters: Counters) {
    this.core = new RelayCore({
      settings,
      suite,
      counters,
      sendOne: (to, bytes) => this.#outs.push({ out: 'send', to, bytes }),
      pass: (from, bytes) => this.#outs.push({ out: 'pass', from, bytes }),
      send: (runs, addrs, ports) => {
        for (let k = 0; k < runs.count * RUN.words; k += RUN.words) {
          const [place = 0, at = 0, len = 0, each = 0] = runs.runs.subarray(k, k + RUN.words)
          const to = { ip: ipAt(addrs, 16 * place), port: ports[place] ?? 0 }
          for (let i = at; i < at + len; i += each)
            this.#outs.push({ out: 'send', to, bytes: runs.arena.slice(i, Math.min(i + each, at + len)) })
        }
      },
    })
  }

  handle({ from, bytes }: RelayIn, now: Instant): void {
    this.core.handle(from, bytes, now)
  }

  direct(direction: RelayDirection, now: Instant): RefusalCode | null {
    return this.core.direct(direction, now)
  }

  release(id: number): void {
    this.core.release(id)
  }

  tick(now: Instant): void {
    this.core.tick(now)
  }

  deadline(): Instant | null {
    return this.core.deadline()
  }

  poll(): RelayOut | null {
    return this.#outs.shift() ?? null
  }
}
