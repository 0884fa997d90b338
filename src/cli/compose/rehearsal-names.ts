import { buildQuery, TYPE } from '#dnsfn/message.ts'
import { systemRandom } from '#io/clock.ts'
import { NodeCore } from '#node/core.ts'
import { ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import type { Directed, Wanted } from '#ntm-lib/negotiate/node-events.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { RegistrationResponse } from '#ntm-lib/wire/messages/registration.ts'

/** A program on a played node's machine that asks for one name, as `ntm up` hears and answers it. */
export class PlayedNames {
  readonly #core = new NodeCore<null>({ holdMillis: 1800 }, systemRandom, new CounterMap())
  readonly #direct: (tag: string, wanted: Wanted, now: Instant) => void
  /** The answer it was given; null before. */
  answer: Uint8Array | null = null

  constructor(direct: (tag: string, wanted: Wanted, now: Instant) => void) {
    this.#direct = direct
  }

  ask(name: string, network: RegistrationResponse, now: Instant): void {
    const bytes = buildQuery({ id: 1, name, type: TYPE.A, recursionDesired: true })
    if (bytes === null) return
    const { zones, virtual } = network
    this.#core.handle({ in: 'network', name: '', pair: network, zones, virtual }, now)
    this.#core.handle({ in: 'query', asker: null, from: LOCAL, port: 40_000, transport: 'udp', bytes }, now)
    this.#perform(now)
  }

  directed(tag: string, result: Directed, now: Instant): void {
    if (!result.ok) return
    const { row, target } = result
    const found = { ok: true, row, ttlSeconds: target?.ttlSeconds ?? 0, pair: target } as const
    this.#core.handle({ in: 'directed', tag, result: found }, now)
    this.#perform(now)
  }

  #perform(now: Instant): void {
    for (let out = this.#core.poll(); out !== null; out = this.#core.poll()) {
      if (out.out === 'direct') this.#direct(out.tag, { sought: out.sought, why: out.why, sources: out.sources }, now)
      else if (out.out === 'answer') this.answer = out.bytes
    }
  }
}

const LOCAL = ip4FromWord(0x7f00_0001)
