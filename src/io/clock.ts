import { randomBytes } from 'node:crypto'
import { instant, wallTime } from '#ntm-lib/base/time.ts'
import type { Calendar, Clock, Random } from '#ntm-lib/ports/machine.ts'

/** The process's monotonic clock: never jumps, counts from the start of the process, sub-millisecond. */
export const systemClock: Clock = { now: () => instant(performance.now()) }

/** The wall clock, which may jump when the time is set. */
export const systemCalendar: Calendar = { today: () => wallTime(Date.now()) }

/** The kernel's entropy. */
export const systemRandom: Random = { bytes: (count) => new Uint8Array(randomBytes(count)) }
