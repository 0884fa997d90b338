import { stripTypeScriptTypes } from 'node:module'

/**
 * A source file as the JavaScript it is: types blanked out (lines and columns stay, so stack traces fit the source), and `.ts` in what it
 * imports turned to `.js`.
 */
export function toJavaScript(source: string): string {
  return stripTypeScriptTypes(source).replaceAll(SPECIFIER, (_, before: string, path: string) => `${before}${path}.js'`)
}

/** The specifiers of a JavaScript file that name files of this project: relative ones and those of a room (`#room/…`). */
export function ownImports(script: string): readonly string[] {
  return [...script.matchAll(/(?:\bfrom|\bimport\s*\(?)\s*'([.#][^'\n]*)'/g)].map(([, path = '']) => path)
}

const SPECIFIER = /(\bfrom\s*'|\bimport\s*\(?\s*')([.#][^'\n]*)\.ts'/g
