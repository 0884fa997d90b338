import { closeSync, fdatasync, openSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { IoFault } from './fault.ts'

/**
 * SQLite's write-ahead log as a file that is brought to the disk beside everything else, by a thread of the pool. SQLite locks the database and its
 * `-shm`, never this file, so that another descriptor of it disturbs nobody.
 */
export class WriteAheadLog {
  readonly #db: DatabaseSync
  readonly #path: string
  #fd: number | null = null
  #busy = false
  #again = false
  #fault: Error | null = null
  #open = true

  constructor(db: DatabaseSync, path: string) {
    this.#db = db
    this.#path = path
  }

  /** Does `work`, a transaction, and does not wait for the disk. Throws `IoFault` when an earlier one never came there. */
  behind<T>(work: () => T): T {
    if (this.#fault !== null) throw new IoFault(`sync ${this.#path}`, this.#fault)
    // With a write-ahead log, NORMAL leaves out the wait and nothing else.
    this.#db.exec('PRAGMA synchronous = NORMAL')
    try {
      return work()
    } finally {
      this.#db.exec('PRAGMA synchronous = FULL')
      this.#flush()
    }
  }

  #flush(): void {
    if (this.#busy) {
      this.#again = true
      return
    }
    this.#fd ??= openSync(this.#path, 'r')
    this.#busy = true
    fdatasync(this.#fd, (fault) => {
      this.#busy = false
      this.#fault ??= fault
      if (!this.#open) return this.#end()
      if (!this.#again) return
      this.#again = false
      this.#flush()
    })
  }

  close(): void {
    this.#open = false
    if (!this.#busy) this.#end()
  }

  #end(): void {
    if (this.#fd !== null) closeSync(this.#fd)
    this.#fd = null
  }
}
