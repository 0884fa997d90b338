import type { Socket } from 'node:net'
import { LabError } from '../ip.ts'
import { connectTo } from './console.ts'

type Message = {
  readonly id?: number
  readonly event?: string
  readonly return?: unknown
  readonly error?: { readonly class: string; readonly desc: string }
}

/** QEMU's machine protocol: one request at a time per id, events in between. */
export class Qmp {
  /** Names of the events so far, in order (`RESET`, `WATCHDOG`, `DEVICE_DELETED`, …). */
  readonly events: string[] = []
  readonly #socket: Socket
  readonly #waiting = new Map<number, (message: Message) => void>()
  #lastId = 0

  private constructor(socket: Socket) {
    this.#socket = socket
    let rest = ''
    socket.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) if (line.trim() !== '') this.#take(JSON.parse(line) as Message)
    })
    const gone = (): void => {
      for (const answer of this.#waiting.values()) answer({ error: { class: 'Gone', desc: 'the machine is gone' } })
      this.#waiting.clear()
    }
    socket.on('close', gone)
    socket.on('error', gone)
  }

  static async connect(path: string, limitMs: number): Promise<Qmp> {
    const qmp = new Qmp(await connectTo(path, limitMs))
    await qmp.ask('qmp_capabilities')
    return qmp
  }

  /** One command; throws LabError with QEMU's words when it refuses. */
  async ask(execute: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const id = ++this.#lastId
    const message = await new Promise<Message>((resolve) => {
      this.#waiting.set(id, resolve)
      this.#socket.write(`${JSON.stringify({ execute, arguments: args, id })}\n`)
    })
    if (message.error !== undefined) throw new LabError(`QMP ${execute}: ${message.error.desc}`)
    return message.return
  }

  close(): void {
    this.#socket.destroy()
  }

  #take(message: Message): void {
    if (message.event !== undefined) this.events.push(message.event)
    if (message.id === undefined) return
    this.#waiting.get(message.id)?.(message)
    this.#waiting.delete(message.id)
  }
}
