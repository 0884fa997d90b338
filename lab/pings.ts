import type { Lab } from './netns.ts'
import type { Program } from './process.ts'

export type PingSummary = {
  readonly sent: number
  readonly lost: number
  /** Longest time between two answers, in milliseconds. */
  readonly gapMs: number
}

/** The system's own `ping` as a measure of a connection: nothing has to run at the far end. */
export class Pings {
  readonly #program: Program

  private constructor(program: Program) {
    this.#program = program
  }

  /** One echo request every `periodMs`, until `stop`. Resolves with the first answer. */
  static async start(lab: Lab, room: string, name: string, periodMs: number): Promise<Pings> {
    const program = lab.spawn(room, `${room}-pings`, 'ping', ['-D', '-O', '-i', `${periodMs / 1000}`, name])
    await program.line(/bytes from/)
    return new Pings(program)
  }

  /** Answers so far, in the order they came. */
  get answers(): { readonly seq: number; readonly atMs: number }[] {
    return this.#program
      .text()
      .split('\n')
      .flatMap((line) => {
        const found = /^\[([\d.]+)\] \d+ bytes from .* icmp_seq=(\d+) /.exec(line)
        return found === null ? [] : [{ atMs: Number(found[1]) * 1000, seq: Number(found[2]) }]
      })
  }

  /** When the first answer after a moment came, in milliseconds since 1970; NaN when none did. */
  firstAfter(ms: number): number {
    return this.answers.find((a) => a.atMs > ms)?.atMs ?? Number.NaN
  }

  async stop(): Promise<PingSummary> {
    this.#program.kill('SIGINT')
    await this.#program.exited
    const found = /(\d+) packets transmitted, (\d+) received/.exec(this.#program.text())
    const { answers } = this
    const gaps = answers.slice(1).map((a, i) => a.atMs - (answers[i]?.atMs ?? a.atMs))
    // The last one may still have been under way.
    const last = answers.at(-1)?.seq ?? 0
    const sent = Math.min(Number(found?.[1] ?? 0), last)
    return { sent, lost: sent - new Set(answers.map((a) => a.seq)).size, gapMs: Math.max(0, ...gaps) }
  }
}
