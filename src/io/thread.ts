import type { Transferable, Worker } from 'node:worker_threads'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import { IoFault } from './fault.ts'
import { ThreadAhead } from './thread-ahead.ts'
import { revivedError } from './thread-errors.ts'
import type { FromThread, ToThread } from './thread-words.ts'

export type ThreadParts<Out> = {
  /** Its name in faults and in `top -H`; at most 15 characters. */
  readonly name: string
  /** The worker's program: a module that calls `serveThread`. */
  readonly entry: URL
  /** One with this program that was made before; it is this thread's from now on. */
  readonly ahead?: ThreadAhead | null
  /** Given to it as it starts. Survives a structured clone; SharedArrayBuffers in it stay shared. */
  readonly config: unknown
  /** What of `config` it takes over. */
  readonly transfer?: readonly Transferable[]
  readonly log: Log
  /** Gets what the worker counts, once a second and when it stops. */
  readonly counters: Counters
  readonly onOut: (out: Out) => void
  /** It crashed, hung, or ended without being told to, once; what it was asked is refused first. */
  readonly onFail: (why: Error) => void
  /** Seconds without a beat after which it counts as hung, and is ended; 10 unless told. */
  readonly hungAfterSeconds?: number
}

/**
 * A worker thread with typed messages: `tell` and `ask` towards it, `onOut` from it, everything in order. Errors of the other thread
 * arrive as what they were. The process lives as long as the thread does.
 */
export class Thread<In, Out> {
  readonly #worker: Worker
  readonly #p: ThreadParts<Out>
  readonly #beat: Int32Array
  readonly #asked = new Map<number, PromiseWithResolvers<unknown>>()
  readonly #started = Promise.withResolvers<unknown>()
  readonly #ended = Promise.withResolvers<void>()
  readonly #watch: NodeJS.Timeout
  #nextId = 1
  #at: 'starting' | 'running' | 'stopping' | 'ended' = 'starting'

  private constructor(parts: ThreadParts<Out>) {
    this.#p = parts
    const { name, entry, config, ahead, transfer = [] } = parts
    const made = ahead?.isWhole === true ? ahead : new ThreadAhead(name, entry)
    this.#worker = made.worker
    this.#beat = made.beat
    this.#worker.ref()
    this.#worker.on('message', (m: FromThread) => this.#on(m))
    this.#worker.on('messageerror', (e) => this.#fail(e))
    // Only what kills a thread without asking it: out of memory, a module that does not load.
    this.#worker.on('error', (e) => this.#fail(e instanceof Error ? e : new Error(String(e))))
    this.#worker.on('exit', (code) => this.#onExit(code))
    this.#worker.postMessage({ say: 'begin', config } satisfies ToThread, transfer)
    this.#watch = this.#watchBeat(parts.hungAfterSeconds ?? HUNG_AFTER_SECONDS)
  }

  /** Resolves with the thread and what its program's start returned; rejects with what that threw. */
  static async start<In, Out>(
    parts: ThreadParts<Out>,
  ): Promise<{ readonly thread: Thread<In, Out>; readonly value: unknown }> {
    const thread = new Thread<In, Out>(parts)
    return { thread, value: await thread.#started.promise }
  }

  /** Advances while the worker's event loop turns, four times a second. */
  get beat(): number {
    return Atomics.load(this.#beat, 0)
  }

  /** One way, in order. Lost when the thread has ended. `transfer`: buffers that it takes over. */
  tell(input: In, transfer: readonly ArrayBuffer[] = []): void {
    this.#post({ say: 'tell', input }, transfer)
  }

  /** In order with `tell`. Rejects with what the worker threw, or with an IoFault when it ends first. */
  ask(input: In): Promise<unknown> {
    return this.#question((id) => ({ say: 'ask', id, input }))
  }

  /** Resolves when what was counted until now is in `counters`. */
  async refresh(): Promise<void> {
    await this.#question((id) => ({ say: 'ship', id }))
  }

  /** Lets it finish, ship its counters and end; ends it by force when it does not within three seconds. Twice is as once. */
  async stop(): Promise<void> {
    if (this.#at === 'ended') return this.#ended.promise
    if (this.#at !== 'stopping') {
      this.#post({ say: 'stop' })
      this.#at = 'stopping'
    }
    const timer = setTimeout(() => {
      this.#p.log.warn('thread.killed', { thread: this.#p.name })
      void this.#worker.terminate()
    }, STOP_WITHIN_MS)
    await this.#ended.promise
    clearTimeout(timer)
  }

  #question(message: (id: number) => ToThread): Promise<unknown> {
    if (this.#at !== 'running') return Promise.reject(this.#gone())
    const id = this.#nextId++
    const waiting = Promise.withResolvers<unknown>()
    this.#asked.set(id, waiting)
    this.#post(message(id))
    return waiting.promise
  }

  #post(message: ToThread, transfer: readonly ArrayBuffer[] = []): void {
    if (this.#at === 'starting' || this.#at === 'running') this.#worker.postMessage(message, transfer)
  }

  /** Looks once a second, and counts looks, not time: when all of the process stood still, nobody hung. */
  #watchBeat(seconds: number): NodeJS.Timeout {
    let [last, same] = [0, 0]
    return setInterval(() => {
      const beat = this.beat
      same = beat === last && this.#at === 'running' ? same + 1 : 0
      last = beat
      if (same < seconds) return
      this.#fail(new IoFault(`run thread ${this.#p.name}`, new Error(`it has not moved for ${seconds} s`)))
    }, 1000).unref()
  }

  #on(m: FromThread): void {
    switch (m.say) {
      case 'started':
        if (this.#at === 'starting') this.#at = 'running'
        return this.#started.resolve(m.value)
      case 'tell':
        // What it said before it heard of its end has nobody left to do it.
        if (this.#at !== 'stopping') this.#p.onOut(m.out as Out)
        return
      case 'answer':
        return this.#waiting(m.id)?.resolve(m.value)
      case 'refusal':
        return this.#waiting(m.id)?.reject(revivedError(m.error))
      case 'counts':
        for (const [name, by] of m.counts) this.#p.counters.count(name, by)
        return
      case 'log':
        return this.#p.log[m.level](m.event, m.fields)
      case 'failed':
        return this.#fail(revivedError(m.error))
      default:
        return m satisfies never
    }
  }

  #waiting(id: number): PromiseWithResolvers<unknown> | undefined {
    const waiting = this.#asked.get(id)
    this.#asked.delete(id)
    return waiting
  }

  #onExit(code: number): void {
    clearInterval(this.#watch)
    const expected = this.#at === 'stopping'
    if (!expected) this.#fail(new IoFault(`run thread ${this.#p.name}`, new Error(`it ended by itself (code ${code})`)))
    this.#at = 'ended'
    this.#refuseAsked()
    this.#started.reject(this.#gone())
    this.#ended.resolve()
  }

  #fail(why: Error): void {
    const before = this.#at
    if (before === 'ended') return
    if (before === 'stopping') {
      this.#p.log.warn('thread.failed-late', { thread: this.#p.name, why: why.message })
      return
    }
    this.#at = 'ended'
    void this.#worker.terminate()
    this.#refuseAsked()
    if (before === 'starting') this.#started.reject(why)
    else this.#p.onFail(why)
  }

  #refuseAsked(): void {
    for (const waiting of this.#asked.values()) waiting.reject(this.#gone())
    this.#asked.clear()
  }

  #gone(): IoFault {
    return new IoFault(`ask thread ${this.#p.name}`, new Error('it has ended'))
  }
}

const STOP_WITHIN_MS = 3000
const HUNG_AFTER_SECONDS = 10
