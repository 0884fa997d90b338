import type { Brand } from './brand.ts'

/** A point on the injected monotonic clock, in milliseconds since an arbitrary start. Never wall-clock. */
export type Instant = Brand<number, 'Instant'>
/** A span of time in milliseconds. */
export type Millis = Brand<number, 'Millis'>
/** Milliseconds since 1970 UTC. Only for what is shown, stored or signed; never for deadlines. */
export type WallTime = Brand<number, 'WallTime'>

export const instant = (ms: number): Instant => ms as Instant
export const millis = (ms: number): Millis => ms as Millis
export const seconds = (s: number): Millis => (s * 1000) as Millis
export const wallTime = (ms: number): WallTime => ms as WallTime

export const after = (t: Instant, d: Millis): Instant => (t + d) as Instant
/** Time from `earlier` to `later`; negative when they are the other way round. */
export const between = (earlier: Instant, later: Instant): Millis => (later - earlier) as Millis
/** The sooner of two deadlines, where null means "none". */
export const sooner = (a: Instant | null, b: Instant | null): Instant | null =>
  a === null ? b : b === null ? a : a < b ? a : b
