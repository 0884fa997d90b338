import { join } from 'node:path'
import { ROOT } from '#lab/netns.ts'
import { type Program, pause, until } from '#lab/process.ts'
import type { NodesScene } from '#lab/scenes/nodes.ts'

/** Starts an echo server for conversations in a room. */
export async function echoes(scene: NodesScene, ...rooms: readonly string[]): Promise<void> {
  for (const room of rooms)
    await scene.lab.spawn(room, `${room}-echo`, process.execPath, [CONVERSE, 'echo', '7007']).line(/ready/)
}

/** A conversation over one TCP connection, a line each 20 ms. */
export class Talk {
  readonly #program: Program

  private constructor(program: Program) {
    this.#program = program
  }

  /** Resolves when it is under way. `name` is the log's. */
  static async between(scene: NodesScene, from: string, to: string, name = `${from}-${to}`): Promise<Talk> {
    const host = to.includes('.') ? to : `${to}.${scene.zone}`
    const talk = new Talk(
      scene.lab.spawn(from, `talk-${name}`, process.execPath, [CONVERSE, 'call', host, '7007', '20']),
    )
    await talk.#program.line(/"open"/)
    await talk.goesOn()
    return talk
  }

  /** Lines that came back so far. */
  get heard(): number {
    return this.#prints().at(-1)?.heard ?? 0
  }

  /** Nothing came out of order, and the connection never ended. */
  get whole(): boolean {
    return this.#program.alive() && !/wrong|closed/.test(this.#program.text())
  }

  /** Waits until 20 more lines have come back. */
  goesOn(limitMs = 15_000): Promise<true> {
    const before = this.heard
    return until(`${this.#program.name} goes on`, () => (this.heard > before + 20 ? true : null), limitMs)
  }

  /** The longest silence within the next `ms`, in milliseconds. */
  async gapDuring(ms: number): Promise<number> {
    const from = this.#prints().length
    await pause(ms)
    return Math.max(
      ...this.#prints()
        .slice(from)
        .map((p) => p.gapMs),
    )
  }

  /** Lines that come back within the next `ms`. */
  async heardDuring(ms: number): Promise<number> {
    await pause(300)
    const before = this.heard
    await pause(ms)
    return this.heard - before
  }

  stop(): Promise<void> {
    return this.#program.stop()
  }

  #prints(): { readonly heard: number; readonly gapMs: number }[] {
    return this.#program
      .text()
      .split('\n')
      .filter((line) => line.includes('"heard"') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as { heard: number; gapMs: number })
  }
}

const CONVERSE = join(ROOT, 'test/netns/programs/converse.ts')
