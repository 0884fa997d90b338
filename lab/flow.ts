import { join } from 'node:path'
import { LabError } from './ip.ts'
import { type Lab, ROOT } from './netns.ts'
import { type Program, pause } from './process.ts'

/** One direction: when each datagram was sent, and what arrived, in that order: its number, when it left and when it came. */
export type Stream = {
  readonly sent: readonly number[]
  readonly got: readonly (readonly [number: number, leftMs: number, cameMs: number])[]
}

/** What both ends counted; `up` is from the caller. Times are milliseconds since 1970, of one clock. */
export type Counted = { readonly up: Stream; readonly down: Stream }

export type FlowOptions = {
  /** 5 unless told. */
  readonly periodMs?: number
  /** Only towards the caller, who then says nothing. */
  readonly onlyDown?: boolean
}

/** Numbered datagrams both ways between two rooms, counted at both ends (`test/netns/programs/two-way.ts`). */
export class Flow {
  readonly #caller: Program
  readonly #taker: Program

  private constructor(caller: Program, taker: Program) {
    this.#caller = caller
    this.#taker = taker
  }

  /** `from` calls `to` by `name`. Resolves once packets flow. */
  static async open(lab: Lab, from: string, to: string, name: string, options: FlowOptions = {}): Promise<Flow> {
    const nr = (counts.get(lab) ?? 0) + 1
    counts.set(lab, nr)
    const [port, period] = [`${7100 + nr}`, `${options.periodMs ?? 5}`]
    const taker = lab.spawn(to, `flow${nr}-take`, process.execPath, [PROGRAM, 'take', port, period])
    await taker.line(/ready/)
    const only = options.onlyDown === true ? ['down'] : []
    const caller = lab.spawn(from, `flow${nr}-call`, process.execPath, [PROGRAM, 'call', name, port, period, ...only])
    await caller.line(/"open"/)
    return new Flow(caller, taker)
  }

  /** Both ends stop sending; a second later, when all that will arrive has, both say what they counted. */
  async close(): Promise<Counted> {
    for (const program of [this.#caller, this.#taker]) program.kill('SIGUSR2')
    await pause(1000)
    for (const program of [this.#caller, this.#taker]) program.kill('SIGINT')
    const [caller, taker] = [await told(this.#caller), await told(this.#taker)]
    return { up: { sent: caller.sent, got: taker.got }, down: { sent: taker.sent, got: caller.got } }
  }
}

/** Numbers of those that never arrived. */
export function lost({ sent, got }: Stream): number[] {
  const came = new Set(got.map(([number]) => number))
  return sent.flatMap((_, number) => (came.has(number) ? [] : [number]))
}

/** How many arrived more than once. */
export const doubled = ({ got }: Stream): number => got.length - new Set(got.map(([number]) => number)).size

/** When the first one arrived of those that left after a moment; NaN when none did. */
export const firstLeftAfter = ({ got }: Stream, ms: number): number =>
  got.find(([, left]) => left > ms)?.[2] ?? Number.NaN

/** When the first one arrived after a moment, whenever it left; NaN when none did. */
export const firstAfter = ({ got }: Stream, ms: number): number =>
  got.find(([, , came]) => came > ms)?.[2] ?? Number.NaN

/** The longest time without an arrival, in milliseconds. */
export const longestGap = ({ got }: Stream): number =>
  got.slice(1).reduce((most, [, , came], i) => Math.max(most, came - (got[i]?.[2] ?? came)), 0)

async function told(program: Program): Promise<Stream> {
  await program.exited
  const line = program
    .text()
    .split('\n')
    .find((text) => text.startsWith('{"sent"'))
  if (line === undefined) throw new LabError(`${program.name} counted nothing:\n${program.text().slice(-500)}`)
  return JSON.parse(line) as Stream
}

const counts = new WeakMap<Lab, number>()
const PROGRAM = join(ROOT, 'test/netns/programs/two-way.ts')
