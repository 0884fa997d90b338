/** One mistake in a configuration file: where, what is wrong, and what would be right. */
export type ConfigMistake = {
  /** Dotted key, or empty for the file as a whole. */
  readonly key: string
  /** 1-based; 0 when the place is not known. */
  readonly line: number
  readonly wrong: string
  readonly right: string
}

/** The operator's mistakes, all of them at once. Thrown at start only. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly file: string
  readonly mistakes: readonly ConfigMistake[]

  constructor(file: string, mistakes: readonly ConfigMistake[]) {
    super(mistakes.map((m) => mistakeText(file, m)).join('\n'))
    this.file = file
    this.mistakes = mistakes
  }
}

/** `bridge.toml:7: bridge.fail: expected "open" or "closed", got "opne". Use: fail = "open"` */
export function mistakeText(file: string, m: ConfigMistake): string {
  const place = m.line > 0 ? `${file}:${m.line}` : file
  return `${place}: ${m.key === '' ? '' : `${m.key}: `}${m.wrong}${m.right === '' ? '' : `. ${m.right}`}`
}
