import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

export type Import = { readonly file: string; readonly line: number; readonly spec: string; readonly target: string }

/** Every `.ts` file under `src`, tests excluded, as sorted paths relative to `src`. */
export function sources(src: string): string[] {
  return readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((f) => f.endsWith('.ts') && !f.endsWith('.test.ts'))
    .sort()
}

/** Imports, re-exports and `import()` of one file; relative and `#room` ones resolved to paths relative to `src`. */
export function importsOf(src: string, file: string): Import[] {
  const text = readFileSync(join(src, file), 'utf8').replaceAll(COMMENT, blank)
  return [...text.matchAll(/\bfrom\s*(['"])(.+?)\1|\bimport\s*\(?\s*(['"])(.+?)\3/g)].map((m) => {
    const spec = (m[2] ?? m[4]) as string
    const target = spec.startsWith('.') ? relative(src, join(src, dirname(file), spec)) : spec.replace(/^#/, '')
    return { file, line: text.slice(0, m.index).split('\n').length, spec, target }
  })
}

/** Source with comments and string contents blanked, so that a word in prose is not a use. */
export const codeOnly = (text: string): string => text.replaceAll(COMMENT, blank).replaceAll(STRING, blank)

const COMMENT = /\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/[^\n]*/g
const STRING = /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"/g
const blank = (s: string): string => s.replaceAll(/[^\n]/g, ' ')
