import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { RelayDirection } from '#ntm-lib/wire/messages/relay.ts'
import type { RelayCore } from '#relay/core.ts'
import { RelayMachine } from '#relay/machine.ts'
import { RELAY_DEFAULTS } from '#relay/settings.ts'
import type { Actor } from './world.ts'

/** The relay's core alone, directed by the test. */
export class RelayActor implements Actor {
  readonly name: string
  readonly counters = new CounterMap()
  readonly #machine: RelayMachine

  constructor(name: string, suite: CryptoSuite) {
    this.name = name
    this.#machine = new RelayMachine({ ...RELAY_DEFAULTS, mostPaths: 16 }, suite, this.counters)
  }

  get core(): RelayCore {
    return this.#machine.core
  }

  direct(direction: Omit<RelayDirection, 'kind' | 'kbitPerSecond' | 'packetsPerSecond'>, now: Instant): void {
    const refused = this.core.direct(
      { kind: 'relay-direction', kbitPerSecond: 0, packetsPerSecond: 0, ...direction },
      now,
    )
    if (refused !== null) throw new Error(`the relay refused: ${refused}`)
  }

  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    this.#machine.handle({ from, bytes }, now)
  }

  tick(now: Instant): void {
    this.#machine.tick(now)
  }

  deadline(): Instant | null {
    return this.#machine.deadline()
  }

  poll(): { readonly to: Endpoint; readonly bytes: Uint8Array } | null {
    for (let o = this.#machine.poll(); o !== null; o = this.#machine.poll()) if (o.out === 'send') return o
    return null
  }
}
