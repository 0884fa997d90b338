import type { Lab } from '#lab/netns.ts'
import { type Program, pause, until } from '#lab/process.ts'

/** The kernel's own word of when a room had a way out by an interface: `ip monitor`, each line with its time. */
export class RouteWatch {
  readonly #program: Program

  private constructor(program: Program) {
    this.#program = program
  }

  static async start(lab: Lab, room: string): Promise<RouteWatch> {
    const env = { ...process.env, TZ: 'UTC' }
    const program = lab.spawn(room, `${room}-routes`, 'ip', ['-ts', 'monitor', 'route'], { env })
    await pause(300)
    return new RouteWatch(program)
  }

  /** When the latest default route by `link` was added, in milliseconds since 1970. Throws LabError when it was not. */
  added(link: string): Promise<number> {
    return until(`a default route by ${link}`, () => {
      const line = this.#program
        .text()
        .split('\n')
        .findLast((text) => text.includes(`dev ${link} `) && /\] default via/.test(text))
      const found = /^\[(\S+)\]/.exec(line ?? '')
      return found === null ? null : timeOf(found[1] ?? '')
    })
  }
}

/** `2026-11-21T20:55:01.123456` → milliseconds; Date keeps whole ones only. */
function timeOf(text: string): number {
  const [seconds = '', fraction = '0'] = text.split('.')
  return Date.parse(`${seconds}Z`) + Number(`0.${fraction}`) * 1000
}
