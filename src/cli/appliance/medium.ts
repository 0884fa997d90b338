import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { removeSecret, replaceDurably, replaceSecret } from '#io/durable.ts'
import { IoFault } from '#io/fault.ts'
import { GONE, withoutToken } from './strip-token.ts'

export type MediumName = 'boot' | 'stick'

/** What lies on a medium for this box. */
export type Offer = {
  readonly medium: MediumName
  readonly dir: string
  /** Text of `ntm.toml`. */
  readonly config: string | null
  /** Text of `token`. */
  readonly token: string | null
  /** Directory of a coordinator's network, with its `network.json`. */
  readonly network: string | null
  /** What lies there in vain, for people. */
  readonly notes: readonly string[]
}

/** Null when nothing is there for us, or nothing at all. IoFault for what cannot be read: a medium that dies. */
export function readOffer(medium: MediumName, dir: string): Offer | null {
  const config = textOf(join(dir, CONFIG), MOST_CONFIG)
  const token = TOKENS.map((name) => textOf(join(dir, name), MOST_TOKEN)).find((text) => text !== null) ?? null
  const network = existsSync(join(dir, NETWORK, 'network.json')) ? join(dir, NETWORK) : null
  const notes =
    config === null && existsSync(join(dir, `${CONFIG}.txt`))
      ? [`"${CONFIG}.txt" is not read: its name must be "${CONFIG}"; Windows hides the ending`]
      : []
  if (config === null && token === null && network === null && notes.length === 0) return null
  return { medium, dir, config, token: token?.trim() ?? null, network, notes }
}

/** Tells one offer from another; of what we rewrite, only what stays. */
export function hashOf(o: Offer): string {
  const hash = createHash('sha256')
  const files = o.network === null ? [] : secretsOf(o.network).map((file) => join(o.network ?? '', file))
  for (const part of [o.config ?? '', o.token ?? '', ...files.map((file) => readFileSync(file))])
    hash.update(createHash('sha256').update(part).digest())
  return hash.digest('hex')
}

/** Takes what is the box's alone off the medium. Returns what it was, in words; IoFault where the medium does not let us. */
export function removeSecrets(o: Offer, tokenToo: boolean, networkToo: boolean): readonly string[] {
  const removed: string[] = []
  if (o.config !== null) {
    const left = tokenToo ? withoutToken(o.config) : o.config
    if (left !== o.config) replaceSecret(join(o.dir, CONFIG), left)
    if (left.includes(GONE)) removed.push(`the token in ${CONFIG}`)
  }
  for (const name of TOKENS.filter((name) => tokenToo && existsSync(join(o.dir, name)))) {
    removeSecret(join(o.dir, name))
    removed.push(`the file ${name}`)
  }
  if (o.network !== null && networkToo) {
    for (const name of secretsOf(o.network)) removeSecret(join(o.network, name))
    removed.push(`the network's keys in ${NETWORK}/`)
  }
  return removed
}

/** Writes `ntm-report.txt`, when it says something else than before. IoFault where the medium does not let us. */
export function writeReport(dir: string, text: string): void {
  const file = join(dir, REPORT)
  if (textOf(file, MOST_CONFIG, false) !== text) replaceDurably(file, text)
}

/** Of a network's directory what its coordinator needs. `root.json` is neither taken nor touched: it belongs offline. */
export const secretsOf = (network: string): readonly string[] =>
  readdirSync(network)
    .filter((name) => name === 'network.json' || name.startsWith('coordinator.db'))
    .sort()

/** Whether the root's key lies beside: the operator's to move. */
export const hasRoot = (network: string): boolean => existsSync(join(network, 'root.json'))

/** Null when there is no such file. Editors of Windows put a mark in front, or two bytes into each letter. */
function textOf(file: string, mostBytes: number, unmarked = true): string | null {
  let bytes: Buffer
  try {
    if (!statSync(file).isFile()) return null
    bytes = readFileSync(file)
  } catch (e) {
    // The usual case: most media hold nothing for us.
    if (e instanceof Error && 'code' in e && (e.code === 'ENOENT' || e.code === 'ENOTDIR')) return null
    throw new IoFault(`read ${file}`, e)
  }
  const text = (bytes[0] === 0xff && bytes[1] === 0xfe ? bytes.toString('utf16le') : bytes.toString('utf8')).slice(
    0,
    mostBytes,
  )
  return unmarked ? text.replace(/^\uFEFF/, '') : text
}

const CONFIG = 'ntm.toml'
/** Without an ending is hard to make on Windows. */
const TOKENS = ['token', 'token.txt']
const NETWORK = 'network'
const REPORT = 'ntm-report.txt'
const MOST_CONFIG = 262_144
const MOST_TOKEN = 16_384
