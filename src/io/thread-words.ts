import type { LogFields } from '#ntm-lib/ports/log.ts'
import type { PlainError } from './thread-errors.ts'

/** What a worker thread is made with, before anybody says what it is to do. */
export type ThreadStart = {
  /** What is known of that already, for its program to load what it will need; null: nothing. */
  readonly hint: unknown
  /** One word that the worker's own timer counts up: it stands still when the worker's loop does. */
  readonly beat: Int32Array
}

/** From the control thread to a worker. */
export type ToThread =
  /** The first one, once. */
  | { readonly say: 'begin'; readonly config: unknown }
  | { readonly say: 'tell'; readonly input: unknown }
  | { readonly say: 'ask'; readonly id: number; readonly input: unknown }
  /** Ship the counters, then answer. */
  | { readonly say: 'ship'; readonly id: number }
  | { readonly say: 'stop' }

/** From a worker to the control thread. */
export type FromThread =
  | { readonly say: 'started'; readonly value: unknown }
  | { readonly say: 'tell'; readonly out: unknown }
  | { readonly say: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly say: 'refusal'; readonly id: number; readonly error: PlainError }
  | { readonly say: 'counts'; readonly counts: readonly (readonly [name: string, by: number])[] }
  | {
      readonly say: 'log'
      readonly level: 'debug' | 'info' | 'warn' | 'error'
      readonly event: string
      readonly fields?: LogFields
    }
  /** The last word before it ends by itself. */
  | { readonly say: 'failed'; readonly error: PlainError }

/** The beat advances this often: a guard that wants a living worker may look four times within its three seconds. */
export const BEAT_MS = 250
/** Counters are shipped every fourth beat. */
export const BEATS_PER_COUNTS = 4
