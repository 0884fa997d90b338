import { parentPort, workerData } from 'node:worker_threads'
import { BugError } from '#ntm-lib/base/invariant.ts'
import { CounterMap, type Counters } from '#ntm-lib/ports/counters.ts'
import type { Log, LogFields } from '#ntm-lib/ports/log.ts'
import { plainError } from './thread-errors.ts'
import { BEAT_MS, BEATS_PER_COUNTS, type FromThread, type ThreadStart, type ToThread } from './thread-words.ts'

/** What a worker's program has of the control thread. */
export type ThreadSide<Out> = {
  readonly log: Log
  /** Shipped once a second and at the end. */
  readonly counters: Counters
  /** In order. `transfer`: buffers that the control thread takes over. */
  tell(out: Out, transfer?: readonly ArrayBuffer[]): void
  /** Ends the thread: the control thread's `onFail` gets the reason. */
  fail(why: unknown): void
}

/** What a worker does once it has started. What these throw ends the thread, but for `ask`, whose asker gets it. */
export type ThreadProgram<In> = {
  /** Survives a structured clone. */
  readonly started: unknown
  tell(input: In): void
  ask(input: In): unknown
  /** Before counters are shipped, once a second and at the end: figures that are kept elsewhere are counted now. */
  beforeCounts?(): void
  stop(): void | Promise<void>
}

/**
 * The whole of a worker's main module: starts the program, serves it until it is told to stop. `loadAhead` loads what a start with that hint will need
 * (`ThreadAhead`); what it cannot load is told by the start itself.
 */
export function serveThread<Config, In, Out>(
  start: (config: Config, side: ThreadSide<Out>) => Promise<ThreadProgram<In>>,
  loadAhead: (hint: unknown) => Promise<unknown> = async () => {},
): void {
  const port = parentPort
  if (port === null) throw new BugError('a worker program runs in a worker thread')
  const { hint, beat } = workerData as ThreadStart
  const post = (message: FromThread, transfer: readonly ArrayBuffer[] = []): void => {
    port.postMessage(message, transfer)
  }
  const counters = new CounterMap()
  const fail = (why: unknown): void => {
    post({ say: 'failed', error: plainError(why) })
    process.exit(1)
  }
  process.on('uncaughtException', fail)
  process.on('unhandledRejection', fail)
  const log = (level: 'debug' | 'info' | 'warn' | 'error') => (event: string, fields?: LogFields) =>
    post(fields === undefined ? { say: 'log', level, event } : { say: 'log', level, event, fields })
  const side: ThreadSide<Out> = {
    log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
    counters,
    tell: (out, transfer) => post({ say: 'tell', out }, transfer),
    fail,
  }
  let program: ThreadProgram<In> | null = null
  const ship = (): void => {
    program?.beforeCounts?.()
    if (counters.values.size === 0) return
    post({ say: 'counts', counts: [...counters.values] })
    counters.values.clear()
  }
  setInterval(() => {
    if (Atomics.add(beat, 0, 1) % BEATS_PER_COUNTS === BEATS_PER_COUNTS - 1) ship()
  }, BEAT_MS)

  const answer = async (id: number, input: In): Promise<void> => {
    try {
      const value: unknown = await program?.ask(input)
      post({ say: 'answer', id, value })
    } catch (e) {
      post({ say: 'refusal', id, error: plainError(e) })
    }
  }
  const stop = async (): Promise<void> => {
    await program?.stop()
    ship()
    process.exit(0)
  }
  let starting: Promise<void> = Promise.resolve()
  const begin = (config: Config): Promise<void> =>
    start(config, side).then((made) => {
      program = made
      post({ say: 'started', value: made.started })
    }, fail)
  if (hint !== null) loadAhead(hint).catch(() => {})
  port.on('message', (m: ToThread) => {
    if (m.say === 'begin') starting = begin(m.config as Config)
    else if (m.say === 'stop') void starting.then(stop)
    else if (m.say === 'ship') {
      ship()
      post({ say: 'answer', id: m.id, value: null })
    } else if (m.say === 'ask') void answer(m.id, m.input as In)
    else program?.tell(m.input as In)
  })
}
