import { readFileSync } from 'node:fs'
import { parse, TomlError } from 'smol-toml'
import type { z } from 'zod'
import { ConfigError, type ConfigMistake } from './fault.ts'
import { type AnyConfig, anyConfig } from './schema.ts'
import { lineOf } from './where.ts'

/** Reads and checks one box's configuration. Throws ConfigError with every mistake found. */
export function loadConfig(file: string): AnyConfig {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (e) {
    // A missing or unreadable file is the operator's mistake, not a crash.
    const why = e instanceof Error && 'code' in e ? String(e.code) : String(e)
    throw new ConfigError(file, [
      { key: '', line: 0, wrong: `cannot be read (${why})`, right: 'Give the path of a TOML file, see examples/' },
    ])
  }
  return checkConfig(file, text)
}

/** As `loadConfig`, for a role that the caller insists on. */
export function loadRole<R extends AnyConfig['role']>(file: string, role: R): Extract<AnyConfig, { role: R }> {
  const config = loadConfig(file)
  if (config.role === role) return config as Extract<AnyConfig, { role: R }>
  throw new ConfigError(file, [
    {
      key: 'role',
      line: 1,
      wrong: `this file is for role "${config.role}"`,
      right: `Start it with: ntm ${config.role === 'node' ? 'up' : config.role} --config ${file}`,
    },
  ])
}

/** Pure part of `loadConfig`. */
export function checkConfig(file: string, text: string): AnyConfig {
  let tree: unknown
  try {
    tree = parse(text)
  } catch (e) {
    // smol-toml throws TomlError for every syntax error; anything else is a bug.
    if (!(e instanceof TomlError)) throw e
    const [first] = e.message.split('\n')
    throw new ConfigError(file, [
      {
        key: '',
        line: e.line,
        wrong: `not valid TOML: ${first ?? ''}`,
        right: 'Strings need quotes, sections are [name]',
      },
    ])
  }
  const checked = anyConfig.safeParse(tree)
  if (checked.success) return checked.data
  throw new ConfigError(
    file,
    checked.error.issues.flatMap((issue) => mistakes(issue, text, tree)),
  )
}

function mistakes(issue: z.core.$ZodIssue, text: string, tree: unknown): ConfigMistake[] {
  const path = issue.path.map((p) => (typeof p === 'symbol' ? String(p) : p))
  const at = (key: readonly (string | number)[], wrong: string, right: string): ConfigMistake => ({
    key: key.join('.'),
    line: lineOf(text, key),
    wrong,
    right,
  })
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((k) => at([...path, k], 'unknown key', 'Check the spelling against examples/'))
    case 'invalid_union':
      return [at(path, `expected ${ROLES}, got ${got(tree, path)}`, 'For example role = "bridge"')]
    case 'invalid_value':
      return [
        at(path, `expected ${issue.values.map((v) => JSON.stringify(v)).join(' or ')}, got ${got(tree, path)}`, ''),
      ]
    case 'invalid_type':
      return got(tree, path) === 'nothing'
        ? [at(path, 'is missing', `Add ${withArticle(issue.expected)}`)]
        : [at(path, `expected ${withArticle(issue.expected)}, got ${got(tree, path)}`, '')]
    case 'custom':
      return [at(path, issue.message, String(issue.params?.['right'] ?? ''))]
    default:
      return [at(path, `${issue.message}, got ${got(tree, path)}`, '')]
  }
}

/** "a", "b" or "c". */
const ROLES = anyConfig.options
  .map((o) => JSON.stringify(o.shape.role.value))
  .join(', ')
  .replace(/, ([^,]*)$/, ' or $1')

const withArticle = (type: string): string => `${/^[aeiou]/.test(type) ? 'an' : 'a'} ${type}`

function got(tree: unknown, path: readonly (string | number)[]): string {
  let value = tree
  for (const key of path) value = (value as Record<string | number, unknown> | undefined)?.[key]
  return value === undefined ? 'nothing' : JSON.stringify(value)
}
