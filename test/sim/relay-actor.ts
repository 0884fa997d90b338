import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { ip6FromBytes, unmapped } from '#ntm-lib/addr/ip6.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import { RUN } from '#ntm-lib/plane/engine.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { RelayDirection } from '#ntm-lib/wire/messages/relay.ts'
import { RelayCore } from '#relay/core.ts'
import { RELAY_DEFAULTS } from '#relay/settings.ts'
import type { Actor } from './world.ts'

/** The relay's core alone, directed by the test. */
export class RelayActor implements Actor {
  readonly name: string
  readonly core: RelayCore
  readonly counters = new CounterMap()
  readonly #out: { readonly to: Endpoint; readonly bytes: Uint8Array }[] = []

  constructor(name: string, suite: CryptoSuite) {
    this.name = name
    this.core = new RelayCore({
      settings: { ...RELAY_DEFAULTS, mostPaths: 16 },
      suite,
      counters: this.counters,
      send: ({ arena, runs, count }, addrs, ports) => {
        for (let i = 0; i < count; i++) {
          const [row = 0, at = 0, len = 0, each = 0] = runs.subarray(i * RUN.words, (i + 1) * RUN.words)
          const ip = ip6FromBytes(addrs, row * 16)
          const to = { ip: unmapped(ip) ?? ip, port: ports[row] ?? 0 }
          for (let from = at; from < at + len; from += each) {
            this.#out.push({ to, bytes: arena.slice(from, Math.min(from + each, at + len)) })
          }
        }
      },
      sendOne: (to, bytes) => void this.#out.push({ to, bytes: bytes.slice() }),
      pass: () => {},
    })
  }

  direct(direction: Omit<RelayDirection, 'kind' | 'kbitPerSecond' | 'packetsPerSecond'>, now: Instant): void {
    const refused = this.core.direct(
      { kind: 'relay-direction', kbitPerSecond: 0, packetsPerSecond: 0, ...direction },
      now,
    )
    if (refused !== null) throw new Error(`the relay refused: ${refused}`)
  }

  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    this.core.handle(from, bytes, now)
  }

  tick(now: Instant): void {
    this.core.tick(now)
  }

  deadline(): Instant | null {
    return this.core.deadline()
  }

  poll(): { readonly to: Endpoint; readonly bytes: Uint8Array } | null {
    return this.#out.shift() ?? null
  }
}
