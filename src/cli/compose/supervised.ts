import { errnoName } from '#io/fault.ts'
import type { Supervisor } from '#io/supervisor.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { Life } from './life.ts'

/**
 * Tells the service manager how a role fares: starting, ready, one line of state whenever that changes, stopping; and that it lives, for as long as
 * this thread and every packet worker do. One that hangs is not heard of, and is ended and started anew by the manager.
 */
export class Supervised {
  readonly #to: Supervisor | null
  readonly #life: Life
  readonly #log: Log
  #timer: NodeJS.Timeout | undefined
  #ready = false
  #said = ''
  #complained = false

  constructor(to: Supervisor | null, life: Life, log: Log) {
    this.#to = to
    this.#life = life
    this.#log = log
  }

  begin(): void {
    if (this.#to === null) return
    this.#turn()
    this.#timer = setInterval(() => this.#turn(), this.#everyMs)
  }

  ready(): void {
    this.#ready = true
    this.#tell(['READY=1', ...this.#status()])
  }

  /** From here on the manager's own time limit for stopping counts. */
  stopping(): void {
    clearInterval(this.#timer)
    this.#tell(['STOPPING=1', 'STATUS=stopping'])
  }

  get #everyMs(): number {
    return Math.min(MOST_MS, (this.#to?.watchdogMs ?? Number.POSITIVE_INFINITY) / 3)
  }

  #turn(): void {
    if (!this.#life.isAlive()) return
    // A start may wait for its coordinator for hours, and is no worse for it.
    const alive = this.#ready ? 'WATCHDOG=1' : `EXTEND_TIMEOUT_USEC=${LATE_US}`
    this.#tell([alive, ...this.#status()])
  }

  #status(): readonly string[] {
    const { line } = this.#life
    if (line === this.#said) return []
    this.#said = line
    return [`STATUS=${line}`]
  }

  #tell(lines: readonly string[]): void {
    if (this.#to === null) return
    const errno = this.#to.tell(lines)
    if (errno >= 0 || this.#complained) return
    this.#complained = true
    this.#log.warn('supervisor.deaf', { why: errnoName(errno) })
  }
}

/** How old a line of state may be. */
const MOST_MS = 5000
/** A start that is not heard of for this long hangs. */
const LATE_US = 30_000_000
