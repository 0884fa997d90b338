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

/** Who looks after the packets that the rules take off the wire. */
export type Reader = {
  /** Advances several times a second for as long as it does. */
  readonly beat: number
}

/**
 * Keeps the diversion rules alive: the guard first, then the owned table, armed only when the reader is ready, refreshed
 * each second while the reader's heart beats. When nft or this process ends, the kernel takes the diversion away by itself;
 * when the reader or this thread hangs, it disarms it within `ALIVE_SECONDS` (the reader: and `FRESH_MS`).
 */
export class Divert {
  #plan: DivertPlan
  readonly #reader: Reader
  readonly #log: Log
  readonly #fail: (why: Error) => void
  #tables: OwnedTables | null = null
  #timer: NodeJS.Timeout | undefined
  #beat = 0
  /** Looks in a row that found nobody. */
  #silent = 0

  constructor(plan: DivertPlan, reader: Reader, log: Log, fail: (why: Error) => void) {
    this.#plan = plan
    this.#reader = reader
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
    this.#keep(tables)
    this.#log.info('bridge.diverting', { host: this.#plan.host, net: this.#plan.net })
  }

  /** The next refresh. Only a heart that beats shortly before it counts: one that stopped a second ago must not gain three more. */
  #keep(tables: OwnedTables): void {
    this.#timer = setTimeout(() => {
      this.#beat = this.#reader.beat
      this.#look(tables, FRESH_MS)
    }, REFRESH_MS - FRESH_MS)
  }

  #look(tables: OwnedTables, waitMs: number): void {
    this.#timer = setTimeout(() => {
      if (!this.#isRead()) return this.#look(tables, LOOK_AGAIN_MS)
      tables.run(refreshScript(this.#plan)).catch((why: Error) => this.#fail(why))
      this.#keep(tables)
    }, waitMs)
  }

  /** Whether the reader was seen alive since the last look. One that stays away for good is its host's to end. */
  #isRead(): boolean {
    const { beat } = this.#reader
    if (beat === this.#beat) {
      this.#silent++
      if (this.#silent === TELL_AFTER)
        this.#log.warn('bridge.reader-silent', { what: 'names pass by until it is back' })
      return false
    }
    if (this.#silent >= TELL_AFTER) this.#log.info('bridge.reader-back')
    this.#beat = beat
    this.#silent = 0
    return true
  }

  /** `fail = "closed"`: these zones' names stay in from now on, also when this program is dead. */
  async close(zones: readonly string[]): Promise<void> {
    this.#plan = { ...this.#plan, closed: zones }
    await applyNft(guardScript(this.#plan))
  }

  /** Takes no more queries; their replies, and those to our own questions, are still taken. */
  async ease(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#tables?.run(easeScript(this.#plan))
  }

  /** Lets DNS pass at once, then takes the rules away. The guard stays: virtual prefixes never go upstream. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    const tables = this.#tables
    this.#tables = null
    if (tables === null) return
    await tables.run(disarmScript())
    await tables.run(removeScript())
    await tables.close()
  }
}

const REFRESH_MS = 1000
/** Longer than the reader's heart needs for one beat (250 ms). */
const FRESH_MS = 400
/** Soon: a process that was frozen as a whole must be armed again as soon as it has thawed. */
const LOOK_AGAIN_MS = 250
/** The element has lapsed by then, `ALIVE_SECONDS`. */
const TELL_AFTER = 3000 / LOOK_AGAIN_MS
