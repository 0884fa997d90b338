import { parse, stringify } from 'smol-toml'
import { lineOf } from '../config/where.ts'

/**
 * A configuration without its enrolment token, everything else as its author wrote it: the line becomes a comment. Where the token is written in
 * a way that has no line of its own, the whole is written anew, without comments. The text must be valid TOML.
 */
export function withoutToken(text: string): string {
  const wanted = parse(text) as Tree
  if (wanted.network?.token === undefined) return text
  delete wanted.network.token
  const lines = text.split('\n')
  const at = lineOf(text, ['network', 'token']) - 1
  const ending = lines[at]?.endsWith('\r') === true ? '\r' : ''
  const shorter = lines.with(Math.max(0, at), GONE + ending).join('\n')
  return meaning(shorter) === meaningOf(wanted) ? shorter : `${GONE}\n${stringify(wanted)}`
}

type Tree = { network?: { token?: unknown } }

/** Empty when it means nothing. */
function meaning(text: string): string {
  try {
    return meaningOf(parse(text) as Tree)
  } catch {
    // The line was part of something larger.
    return ''
  }
}

/** A table without keys is as no table. */
const meaningOf = ({ network = {}, ...rest }: Tree): string => JSON.stringify([network, rest])

/** What stands in its place. */
export const GONE = '# token: taken into the box and removed from here'
