import { readFileSync } from 'node:fs'
import { run } from '#io/run.ts'
import type { WallTime } from '#ntm-lib/base/time.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import { builtAt } from './image-facts.ts'

/** What setting a clock needs of the machine. */
export type ClockMachine = {
  today(): number
  /** The image's build time, in milliseconds: no clock is set before it. */
  readonly floor: number
  /** Whether somebody keeps the clock: NTP, a radio. */
  isKept(): Promise<boolean>
  /** Rejects with an IoFault where this is not allowed. */
  set(seconds: number): Promise<void>
}

/**
 * Sets the clock of a box that nobody else keeps right to its coordinator's, which told it in a sealed message: boards without a battery. Only in
 * steps worth it, in either direction, so that a coordinator whose clock jumped can put right what it did. Certificates do not hang on it
 * (`crypto/trusted-time.ts`): logs and update downloads do.
 */
export class ClockSetter {
  readonly #machine: ClockMachine
  #busy = false
  #complained = false

  constructor(machine: ClockMachine = thisMachine()) {
    this.#machine = machine
  }

  /** The coordinator's clock shows `time` now. */
  told(time: WallTime, log: Log): void {
    const apart = time - this.#machine.today()
    if (this.#busy || time < this.#machine.floor || Math.abs(apart) < APART_MS) return
    this.#busy = true
    this.#step(apart)
      .then((stepped) => {
        if (stepped) log.info('clock.set', { bySeconds: Math.round(apart / 1000), from: 'coordinator' })
      })
      .catch((why: Error) => {
        if (!this.#complained) log.warn('clock.not-set', { why: why.message })
        this.#complained = true
      })
      .finally(() => {
        this.#busy = false
      })
  }

  async #step(apart: number): Promise<boolean> {
    if (await this.#machine.isKept()) return false
    await this.#machine.set(Math.round((this.#machine.today() + apart) / 1000))
    return true
  }
}

/** `date` of the image does it, in a process that has CAP_SYS_TIME; whether NTP keeps the clock, systemd's file says. */
const thisMachine = (): ClockMachine => ({
  today: () => Date.now(),
  floor: builtAt(),
  isKept: async () => {
    try {
      readFileSync('/run/systemd/timesync/synchronized')
      return true
    } catch {
      // timesyncd makes it with its first answer of this start.
      return false
    }
  },
  set: async (seconds) => {
    await run('date', ['-u', '-s', `@${seconds}`])
  },
})

const APART_MS = 60_000
