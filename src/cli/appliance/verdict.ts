import { boxRules } from '#appliance/rules.ts'
import { isBoxRole } from '#appliance/settings.ts'
import { systemFiles } from '#appliance/system-files.ts'
import { nodeCrypto } from '#io/crypto-node.ts'
import type { LinkAddr } from '#ntm-lib/addr/link.ts'
import { same } from '#ntm-lib/base/bytes.ts'
import { type EnrolmentToken, parseToken } from '#ntm-lib/crypto/token.ts'
import { ROLE_BRIDGE, ROLE_RELAY, ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import type { KeptBox } from '../compose/box.ts'
import { ConfigError, type ConfigMistake } from '../config/fault.ts'
import { checkConfig } from '../config/load.ts'
import type { AnyConfig } from '../config/schema.ts'
import { lineOf } from '../config/where.ts'
import type { ConfigSet } from './config-sets.ts'
import { withoutToken } from './strip-token.ts'

/** What was offered, and what the box is already. */
export type Question = {
  readonly config: string | null
  readonly token: string | null
  /** Whether a coordinator's network came with it, or is here. */
  readonly network: boolean
  readonly inForce: Pick<ConfigSet, 'text' | 'token'> | null
  readonly box: KeptBox | null
  readonly ports: readonly LinkAddr[]
}

export type Verdict =
  | {
      readonly ok: true
      readonly config: AnyConfig
      readonly set: ConfigSet
      /** The offered token is this box's now: nobody else is to have it. */
      readonly tokenTaken: boolean
      /** The membership is of another network, or for another role: it makes room for a new one. */
      readonly leaves: boolean
      readonly notes: readonly string[]
    }
  | { readonly ok: false; readonly mistakes: readonly string[] }

/** What a box should do with what it is offered. Pure but for the ciphers. */
export function judge(q: Question): Verdict {
  const offered = tokenOffered(q)
  if (!offered.ok) return no(offered.mistake)
  const text = q.config ?? q.inForce?.text ?? textFor(offered.token)
  if (text === null) return no(`${FILE} is missing: nothing says what this box is to be`)
  let config: AnyConfig
  try {
    config = checkConfig(FILE, text)
  } catch (e) {
    // The operator's mistakes, all of them.
    if (e instanceof ConfigError) return { ok: false, mistakes: e.mistakes.map((m) => mistakeLine(m)) }
    throw e
  }
  const { role } = config
  const breaches = boxRules(config, { ports: q.ports })
  if (breaches.length > 0 || !isBoxRole(role))
    return {
      ok: false,
      mistakes: breaches.map((b) => mistakeLine({ ...b, line: lineOf(text, b.key.split('.')) })),
    }
  const made = (token: string | null, tokenTaken: boolean, leaves: boolean, notes: readonly string[]): Verdict => {
    const set = { text: withoutToken(text), token, system: systemFiles(role, config.appliance) }
    return { ok: true, config, set, tokenTaken, leaves, notes: [...notes, ...nameNote(config, q.box, leaves)] }
  }
  if (role === 'coordinator')
    return made(
      null,
      false,
      false,
      q.network ? [] : ['the coordinator has no network yet: put its directory "network" beside ntm.toml'],
    )

  const needed = NEEDED[role]
  const fits = (token: EnrolmentToken): boolean => (token.roles & needed) === needed
  if (offered.token !== null && !fits(offered.token))
    return no(`the token is not for role "${role}"; make one with: ntm token create --role ${role}`)
  // What came with an earlier configuration counts as long as it fits this one.
  const kept = keptToken(q, fits)
  const token = offered.token ?? kept
  const tokenText = offered.token === null ? (kept === null ? null : (q.inForce?.token ?? null)) : offered.text
  const member = q.box?.member ?? null
  if (member === null || q.box === null)
    return made(tokenText, offered.token !== null, false, token === null ? [NO_TOKEN(role)] : [])

  const otherNetwork = token !== null && !same(token.rootPublicKey, q.box.rootPublicKey)
  if (otherNetwork)
    return made(tokenText, offered.token !== null, true, [
      `the box leaves the network in which it was ${member.name}; its old keys are kept aside`,
    ])
  if ((member.roles & needed) !== needed) {
    if (token === null)
      return no(
        `this box is ${member.name} of its network and may not be a ${role}; add a token made with --role ${role}`,
      )
    return made(tokenText, offered.token !== null, true, [
      `the box was ${member.name} in another role; its old keys are kept aside`,
    ])
  }
  const isNews = offered.token !== null && offered.text !== q.inForce?.token
  return made(
    tokenText,
    offered.token !== null,
    false,
    isNews ? [`the box is a member already, ${member.name}, and stays it: the token was not needed`] : [],
  )
}

type Offered =
  | { readonly ok: true; readonly token: EnrolmentToken; readonly text: string }
  | { readonly ok: true; readonly token: null }
  | { readonly ok: false; readonly mistake: string }

/** From the file `token`, or in the configuration. */
function tokenOffered({ config, token }: Question): Offered {
  const inside = config === null ? null : tokenIn(config)
  if (inside !== null && token !== null && packed(inside) !== packed(token))
    return { ok: false, mistake: 'there are two different tokens, in ntm.toml and in the file "token": leave one' }
  const text = token ?? inside
  if (text === null) return { ok: true, token: null }
  const read = parseToken(nodeCrypto, text)
  const where =
    token === null ? `${FILE}, line ${lineOf(config ?? '', ['network', 'token'])}: network.token` : 'the file "token"'
  return read.ok
    ? { ok: true, token: read.value, text: packed(text) }
    : { ok: false, mistake: `${where}: ${read.text}. Paste the whole token printed by ntm token create` }
}

/** The configuration may be wrong elsewhere: that is told by others. */
function tokenIn(config: string): string | null {
  try {
    const checked = checkConfig(FILE, config)
    return checked.role === 'coordinator' ? null : (checked.network.token ?? null)
  } catch (e) {
    if (e instanceof ConfigError) return null
    throw e
  }
}

function keptToken({ inForce }: Question, fits: (token: EnrolmentToken) => boolean): EnrolmentToken | null {
  const read = inForce?.token == null ? null : parseToken(nodeCrypto, inForce.token)
  return read?.ok === true && fits(read.value) ? read.value : null
}

/** A token alone says enough for a bridge and a relay. */
function textFor(token: EnrolmentToken | null): string | null {
  if (token === null) return null
  if ((token.roles & ROLE_BRIDGE) !== 0) return 'role = "bridge"\n'
  return (token.roles & ROLE_RELAY) !== 0 ? 'role = "relay"\n' : null
}

/** Two boxes' sticks are easily taken for each other. */
function nameNote({ appliance }: AnyConfig, box: KeptBox | null, leaves: boolean): readonly string[] {
  const name = box?.member?.name.split('.')[0]
  return leaves || name === undefined || appliance.hostname === undefined || appliance.hostname === name
    ? []
    : [`hostname is "${appliance.hostname}", and in its network this box is "${name}": is this the right stick?`]
}

const NO_TOKEN = (role: string): string =>
  `the box is not a member of a network yet: put a file "token" here, made with: ntm token create --role ${role}`
/** `ntm.toml, line 7: bridge.fail: …`: for whoever has it open in an editor, far from this box. */
function mistakeLine({ key, line, wrong, right }: ConfigMistake): string {
  const place = line > 0 ? `${FILE}, line ${line}` : FILE
  return `${place}: ${key === '' ? '' : `${key}: `}${wrong}${right === '' ? '' : `. ${right}`}`
}

const packed = (text: string): string => text.replaceAll(/\s/g, '')
const no = (...mistakes: readonly string[]): Verdict => ({ ok: false, mistakes })
const NEEDED = { bridge: ROLE_BRIDGE, tt: ROLE_TT, relay: ROLE_RELAY } as const
const FILE = 'ntm.toml'
