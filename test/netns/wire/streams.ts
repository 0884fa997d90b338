import type { Program } from '#lab/process.ts'

/** A query of `dns-stream.ts` and what became of it. Times in ms since 1970. */
export type Query = {
  readonly name: string
  readonly asked: number
  readonly answers: { readonly t: number; readonly rcode: string; readonly ips: readonly string[] }[]
}

/** All queries of a stream by port/id, in order, and answers that nobody asked for. */
export function queriesOf(stream: Program): { readonly all: Query[]; readonly strays: { t: number; name: string }[] } {
  const queries = new Map<string, Query>()
  const strays: { t: number; name: string }[] = []
  for (const line of linesOf(stream)) {
    const { t, q, name, asked, rcode, ips } = line as {
      t: number
      q: string
      name: string
      asked?: true
      rcode: string
      ips: string[]
    }
    if (asked) queries.set(q, { name, asked: t, answers: [] })
    else if (queries.get(q)?.name === name) queries.get(q)?.answers.push({ t, rcode, ips })
    else strays.push({ t, name })
  }
  return { all: [...queries.values()], strays }
}

/**
 * How long after `event` names worked again: until the first answer from which on every query up to `end` got its own within
 * `PROMPT_MS`. Also how many were lost or late on the way. Infinity when they never did.
 */
export function healing(
  all: readonly Query[],
  event: number,
  end: number,
): { readonly ms: number; readonly late: number } {
  const then = all.filter((q) => q.asked >= event - PROMPT_MS && q.asked <= end)
  const worst = then.findLastIndex((q) => !isPrompt(q))
  const first = then.slice(worst + 1).find((q) => q.asked >= event)
  const ms = first?.answers[0] === undefined ? Number.POSITIVE_INFINITY : first.answers[0].t - event
  return { ms, late: then.filter((q) => !isPrompt(q)).length }
}

export const isPrompt = (q: Query): boolean => q.answers[0] !== undefined && q.answers[0].t - q.asked <= PROMPT_MS

/** By how much the stream itself was late with a query that it asks every `periodMs`: what a busy machine does to everything. */
export const lagOf = (all: readonly Query[], periodMs: number): number =>
  Math.max(0, ...all.slice(1).map((q, i) => q.asked - (all[i]?.asked ?? q.asked) - periodMs))

/** What `tcp-stream.ts hear` said: one entry per 100 ms. */
export const gapsOf = (stream: Program): { readonly t: number; readonly chunks: number; readonly gapMs: number }[] =>
  linesOf(stream) as { t: number; chunks: number; gapMs: number }[]

function linesOf(program: Program): unknown[] {
  const lines = program.text().split('\n').slice(0, -1)
  return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as unknown)
}

/** An answer that took longer did not come at once; a busy machine stays far below. */
const PROMPT_MS = 400
