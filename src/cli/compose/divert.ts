import {
  type DivertPlan,
  disarmScript,
  divertScript,
  easeScript,
  guardScript,
  refreshScript,
  removeScript,
} from '#bridge/ruleset.ts'
import { applyNft, OwnedTables } from '#io/nft.ts'
import type { Log } from '#ntm-lib/ports/log.ts'

/**
 * Keeps the diversion rules alive: the guard first, then the owned table, armed only when the reader is ready, refreshed
 * each second. When nft or this process ends, the kernel takes the diversion away by itself.
 */
export class Divert {
  #plan: DivertPlan
  readonly #log: Log
  readonly #fail: (why: Error) => void
  #tables: OwnedTables | null = null
  #timer: NodeJS.Timeout | undefined

  constructor(plan: DivertPlan, log: Log, fail: (why: Error) => void) {
    this.#plan = plan
    this.#log = log
    this.#fail = fail
  }

  /** To be called when the TAP is being read. IoFault when nft refuses. */
  async start(): Promise<void> {
    await applyNft(guardScript(this.#plan))
    const tables = new OwnedTables()
    this.#tables = tables
    tables.onExit(this.#fail)
    await tables.run(divertScript(this.#plan))
    await tables.run(refreshScript(this.#plan))
    this.#timer = setInterval(() => {
      tables.run(refreshScript(this.#plan)).catch((why: Error) => this.#fail(why))
    }, REFRESH_MS)
    this.#log.info('bridge.diverting', { host: this.#plan.host, net: this.#plan.net })
  }

  /** `fail = "closed"`: these zones' names stay in from now on, also when this program is dead. */
  async close(zones: readonly string[]): Promise<void> {
    this.#plan = { ...this.#plan, closed: zones }
    await applyNft(guardScript(this.#plan))
  }

  /** Takes no more queries; their replies, and those to our own questions, are still taken. */
  async ease(): Promise<void> {
    clearInterval(this.#timer)
    await this.#tables?.run(easeScript(this.#plan))
  }

  /** Lets DNS pass at once, then takes the rules away. The guard stays: virtual prefixes never go upstream. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    const tables = this.#tables
    this.#tables = null
    if (tables === null) return
    await tables.run(disarmScript())
    await tables.run(removeScript())
    await tables.close()
  }
}

const REFRESH_MS = 1000
