import { close, constants, open, write } from 'node:fs'
import { isatty, ReadStream } from 'node:tty'

/**
 * A terminal that is only written to: what somebody types there is swallowed, and not echoed into the screen. One that is not there, or leaves (a
 * USB serial line), is looked for again; one that nobody reads keeps nobody waiting.
 */
export class Tty {
  readonly #path: string
  #fd: number | null = null
  #keys: ReadStream | null = null
  #busy = false

  constructor(path: string) {
    this.#path = path
  }

  /** Calls back with whether the text was taken; false also while the last one is still on its way. */
  write(text: string, done: (taken: boolean) => void): void {
    if (this.#busy) return done(false)
    this.#busy = true
    this.#opened((fd) => {
      if (fd === null) return this.#end(false, done)
      this.#rest(fd, Buffer.from(text), done)
    })
  }

  /** Whether it must be drawn on as if nothing were there. */
  get isFresh(): boolean {
    return this.#fd === null
  }

  close(): void {
    this.#keys?.setRawMode(false)
    this.#keys?.destroy()
    this.#keys = null
    const fd = this.#fd
    this.#fd = null
    if (fd !== null) close(fd, () => {})
  }

  #opened(then: (fd: number | null) => void): void {
    if (this.#fd !== null) return then(this.#fd)
    // Neither wait for a modem's carrier nor become its session.
    const flags = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY
    open(this.#path, flags, (e, fd) => {
      if (e !== null) return then(null)
      this.#fd = fd
      if (isatty(fd)) this.#swallow()
      then(fd)
    })
  }

  #swallow(): void {
    open(this.#path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY, (e, fd) => {
      if (e !== null || this.#fd === null) return
      try {
        const keys = new ReadStream(fd)
        keys.on('error', () => {}).setRawMode(true)
        keys.resume().unref()
        this.#keys = keys
      } catch {
        // A line discipline that Node does not know: keys are echoed then, which hurts nobody.
        close(fd, () => {})
      }
    })
  }

  #rest(fd: number, bytes: Buffer, done: (taken: boolean) => void): void {
    write(fd, bytes, 0, bytes.length, null, (e, written) => {
      if (e === null && written < bytes.length) return this.#rest(fd, bytes.subarray(written), done)
      // A slow line takes the rest in a moment; one that takes nothing is drawn on anew when it does.
      if (e?.code === 'EAGAIN') return void setTimeout(() => this.#again(fd, bytes, done), AGAIN_MS).unref()
      if (e !== null) this.close()
      this.#end(e === null, done)
    })
  }

  #again(fd: number, bytes: Buffer, done: (taken: boolean) => void): void {
    if (this.#fd === fd) this.#rest(fd, bytes, done)
    else this.#end(false, done)
  }

  #end(taken: boolean, done: (taken: boolean) => void): void {
    this.#busy = false
    done(taken)
  }
}

const AGAIN_MS = 50
