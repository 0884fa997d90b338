import type { Lab } from './netns.ts'

/** One thing that was measured or checked, for the table at the end. */
export type Line = { readonly title: string; readonly result: string; readonly ok: boolean }

/** Tells what happens as it happens, each step with the time since the start and how long it took. */
export class Story {
  readonly lines: Line[] = []
  readonly #begun = performance.now()

  /** Prose between steps. */
  say(text: string): void {
    process.stdout.write(`${text}\n`)
  }

  /**
   * Does one step and prints its result. A step that throws is told as failed and stops the story, unless `goOn`.
   * What `act` returns is passed on; `tell` makes the printed result from it.
   */
  async step<T>(title: string, act: () => Promise<T>, tell: (value: T) => string, goOn: true): Promise<T | null>
  async step<T>(title: string, act: () => Promise<T>, tell: (value: T) => string): Promise<T>
  async step<T>(title: string, act: () => Promise<T>, tell: (value: T) => string, goOn = false): Promise<T | null> {
    const at = performance.now()
    process.stdout.write(`${seconds(at - this.#begun)}  ${title}\n`)
    try {
      const value = await act()
      this.#done(title, tell(value), true, performance.now() - at)
      return value
    } catch (fault) {
      this.#done(title, fault instanceof Error ? fault.message : String(fault), false, performance.now() - at)
      if (goOn) return null
      throw fault
    }
  }

  /** Tells a scene, and takes its lab down at the end; the logs are kept when it did not go well. */
  async during(scene: { readonly lab: Lab }, tell: () => Promise<void>): Promise<void> {
    try {
      await tell()
    } catch (fault) {
      this.keepLogs(scene)
      throw fault
    } finally {
      scene.lab.dispose()
    }
  }

  /** Runs all of it. False when it ended early; the reason has been told. */
  async tell(all: () => Promise<void>): Promise<boolean> {
    try {
      await all()
      return true
    } catch (fault) {
      // A failed step has told it already; say it all the same if it came from between the steps.
      if (this.lines.every((line) => line.ok))
        this.say(`FAILED: ${fault instanceof Error ? fault.stack : String(fault)}`)
      return false
    }
  }

  keepLogs({ lab }: { readonly lab: Lab }): void {
    this.say(`          logs of every program: ${lab.keepLogs('last-demo')} (kept when the demo ends)`)
  }

  /** Prints every step again as a table and says whether all went well. */
  end(): boolean {
    const width = Math.max(...this.lines.map((line) => line.title.length))
    this.say('')
    for (const { title, result, ok } of this.lines) {
      this.say(`  ${ok ? 'ok    ' : 'FAILED'}  ${title.padEnd(width)}  ${result.split('\n')[0] ?? ''}`)
    }
    const good = this.lines.filter((line) => line.ok).length
    this.say(
      `\n${good} of ${this.lines.length} steps went well, ${seconds(performance.now() - this.#begun).trim()} in all`,
    )
    return good === this.lines.length
  }

  #done(title: string, result: string, ok: boolean, ms: number): void {
    this.lines.push({ title, result, ok })
    const text = result.trimEnd().replaceAll('\n', `\n${' '.repeat(12)}`)
    process.stdout.write(`${' '.repeat(10)}${ok ? '->' : 'FAILED:'} ${text}  [${Math.round(ms)} ms]\n`)
  }
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(2).padStart(6)} s`
