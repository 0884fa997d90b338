import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { ThreadStart } from './thread-words.ts'

/**
 * A worker whose program is being loaded while nobody knows yet what it is to do: most of a thread's start is that, and another processor may do it.
 * It keeps no process alive until a `Thread` takes it over. This module imports nothing of ours, so that it can be the first one.
 */
export class ThreadAhead {
  readonly worker: Worker
  readonly beat = new Int32Array(new SharedArrayBuffer(4))
  #isWhole = true

  /** `hint`: what its program loads ahead; null: itself alone. */
  constructor(name: string, entry: URL, hint: unknown = null) {
    const workerData: ThreadStart = { hint, beat: this.beat }
    this.worker = new Worker(entry, { workerData, name })
    this.worker.unref()
    // What is wrong with it the next one will say, to whoever starts it in earnest.
    this.worker.on('error', () => this.#break()).on('exit', () => this.#break())
  }

  /** False once it has ended. */
  get isWhole(): boolean {
    return this.#isWhole
  }

  #break(): void {
    this.#isWhole = false
  }
}

/** The module `path` (without its ending) beside the asking one: `.ts` in the tree, `.js` where types were stripped ahead. */
export const moduleBeside = (asking: string, path: string): URL =>
  new URL(`${path}${extname(new URL(asking).pathname)}`, asking)
