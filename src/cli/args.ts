import { parseArgs } from 'node:util'
import { UsageError } from './usage-error.ts'

/** Whether `--name` is among the arguments, and the arguments without it. */
export function switches(args: readonly string[], name: string): { readonly on: boolean; readonly rest: string[] } {
  return { on: args.includes(`--${name}`), rest: args.filter((a) => a !== `--${name}`) }
}

/** Options of the form `--name VALUE`; all are strings. Throws UsageError for unknown ones and for missing required ones. */
export function options<R extends string, O extends string>(
  args: readonly string[],
  required: readonly R[],
  optional: readonly O[],
): { readonly [K in R]: string } & { readonly [K in O]?: string } {
  const spec = Object.fromEntries([...required, ...optional].map((name) => [name, { type: 'string' as const }]))
  let values: Readonly<Record<string, unknown>>
  try {
    values = parseArgs({ args: [...args], options: spec, allowPositionals: false }).values
  } catch (e) {
    // parseArgs throws for every mistake in the command line, with a message meant for people.
    throw new UsageError(e instanceof Error ? e.message : String(e))
  }
  for (const name of required) {
    if (typeof values[name] !== 'string') throw new UsageError(`--${name} is missing`)
  }
  return values as { readonly [K in R]: string } & { readonly [K in O]?: string }
}
