/** What the source says about its types, so that the wire page repeats the same words and cannot drift from them. */
export type TypeNotes = {
  /** The comment in front of the type. */
  readonly about: string
  /** Comments in front of its properties. */
  readonly fields: ReadonlyMap<string, string>
}

/** Reads `export type X = { … }` declarations of one file: comments by type name and property name. */
export function typeNotes(source: string): Map<string, TypeNotes> {
  const notes = new Map<string, { about: string; fields: Map<string, string> }>()
  let current: { about: string; fields: Map<string, string> } | null = null
  for (const m of source.matchAll(DECLARATION)) {
    const [, comment = '', type, property] = m
    const text = plain(comment)
    if (type !== undefined) {
      current = { about: text, fields: new Map() }
      notes.set(type, current)
    } else if (property !== undefined && text !== '') current?.fields.set(property, text)
  }
  return notes
}

/** Type names by the message kinds they carry: `readonly kind: 'a' | 'b'`. A union of types carries none itself. */
export function typesByKind(source: string): Map<string, string> {
  const found = new Map<string, string>()
  let type = ''
  for (const m of source.matchAll(/^(?:export )?type (\w+)\b|\breadonly kind: ((?:[ |]*'[\w-]+')+)/gm)) {
    type = m[1] ?? type
    for (const [, kind = ''] of (m[2] ?? '').matchAll(/'([\w-]+)'/g)) found.set(kind, type)
  }
  return found
}

/** Comments in front of the properties of an object literal, `name: {`. */
export function rowNotes(source: string): Map<string, string> {
  const rows = source.matchAll(/(?:\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*)?^ {2}(\w+): \{/gm)
  return new Map([...rows].map(([, comment = '', name = '']) => [name, plain(comment)]))
}

const DECLARATION = /(?:\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*)?(?:^(?:export )?type (\w+)\b|\breadonly (\w+)\??:)/gm

const plain = (comment: string): string =>
  comment
    .split('\n')
    .map((line) => line.replace(/^\s*\* ?/, '').trim())
    .join(' ')
    .trim()
