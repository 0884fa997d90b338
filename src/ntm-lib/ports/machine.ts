import type { Instant, WallTime } from '../base/time.ts'

/**
 * A role without its I/O. Feed it with `handle`, wake it with `tick`, then empty it with `poll` until null.
 * It never blocks, never reads a clock and never calls back.
 */
export interface Machine<In, Out> {
  handle(input: In, now: Instant): void
  /** Safe to call early or twice: does nothing until `deadline()` has passed. */
  tick(now: Instant): void
  /** When `tick` is next worth calling; null while nothing is pending. */
  deadline(): Instant | null
  poll(): Out | null
}

/** Monotonic; the only clock a role ever sees. */
export interface Clock {
  now(): Instant
}

/** For what is shown, stored or signed. */
export interface Calendar {
  today(): WallTime
}

/** Unpredictable in production, seeded in tests. */
export interface Random {
  bytes(count: number): Uint8Array
}
