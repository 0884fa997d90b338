import { randomBytes } from 'node:crypto'
import { instant, wallTime } from '#ntm-lib/base/time.ts'
import type { Calendar, Clock, Random } from '#ntm-lib/ports/machine.ts'

/**
 * The machine's monotonic clock: never jumps, sub-millisecond, and the same in every thread of the process, so that
 * instants may travel between them.
 */
export const systemClock: Clock = { now: () => instant(BASE + performance.now()) }

/** The wall clock, which may jump when the time is set. */
export const systemCalendar: Calendar = { today: () => wallTime(Date.now()) }

/** The kernel's entropy. */
export const systemRandom: Random = { bytes: (count) => new Uint8Array(randomBytes(count)) }

/** `performance.now()` counts from the start of its own thread; `hrtime` does not. */
const BASE = Number(process.hrtime.bigint() / 1000n) / 1000 - performance.now()
