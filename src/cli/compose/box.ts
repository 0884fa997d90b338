import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { nodeCrypto } from '#io/crypto-node.ts'
import { IoFault } from '#io/fault.ts'
import { Keystore } from '#io/keystore.ts'
import { type Endpoint, endpointText, parseEndpoint } from '#ntm-lib/addr/endpoint.ts'
import type { NodeId } from '#ntm-lib/addr/ids.ts'
import { hex, unhex } from '#ntm-lib/base/hex.ts'
import { type Identity, identityOf, makeMembership } from '#ntm-lib/crypto/identity.ts'
import { enrolPsk, nodeIdOf } from '#ntm-lib/crypto/schedule.ts'
import { type EnrolmentToken, parseToken } from '#ntm-lib/crypto/token.ts'
import type { ControlClientParts } from '#ntm-lib/negotiate/control-client.ts'
import { decodeSignedCertificate } from '#ntm-lib/wire/certificate.ts'
import { ConfigError } from '../config/fault.ts'

/** What a box keeps between starts: its key, its network, its membership. */
export type Box = {
  readonly identity: Identity
  readonly rootPublicKey: Uint8Array
  readonly coordinatorStatic: Uint8Array
  readonly endpoints: readonly Endpoint[]
  /** Name in the membership certificate; empty before enrolment. */
  readonly name: string
  /** Stateless reset tokens are made from this; it must survive restarts. 32 bytes. */
  readonly resetSecret: Uint8Array
  /** Present until the box is a member. */
  readonly enrol: ControlClientParts['enrol']
  /** Keeps a fresh membership on disk. */
  saveChain(chain: readonly Uint8Array[]): void
}

type Stored = {
  readonly version: 1
  readonly staticSecret: string
  readonly resetSecret: string
  readonly root: string
  readonly coordinator: string
  readonly endpoints: readonly string[]
  readonly chain: readonly string[]
}

export type BoxSettings = {
  readonly file: string
  readonly state: string
  readonly network: { readonly token?: string | undefined; readonly token_file?: string | undefined }
}

/**
 * Loads the box's identity, or makes it on the first start from the enrolment token. Throws ConfigError when neither a
 * membership nor a usable token is there, IoFault when the state directory cannot be used.
 */
export function openBox(settings: BoxSettings, today: number): Box {
  const store = new Keystore(settings.state)
  const stored = store.load(FILE)
  const kept = stored === null ? null : (stored as Stored)
  if (kept !== null && kept.version !== 1) {
    throw new IoFault(`read ${settings.state}/${FILE}`, new Error('made by a newer version of ntm'))
  }
  const token = kept !== null && kept.chain.length > 0 ? null : readToken(settings)
  // Not a member yet: the newest token says which network it is to be, and where. The box stays who it is.
  const box = token === null ? (kept as Stored) : { ...(kept ?? fresh()), ...networkOf(token) }
  if (JSON.stringify(box) !== JSON.stringify(kept)) store.save(FILE, box)
  const pair = { secret: bytes(box.staticSecret), public: nodeCrypto.x25519Public(bytes(box.staticSecret)) }
  const identity = identityOf(nodeCrypto, pair, box.chain.map(bytes))
  return {
    identity,
    rootPublicKey: bytes(box.root),
    coordinatorStatic: bytes(box.coordinator),
    endpoints: box.endpoints.flatMap((e) => parseEndpoint(e) ?? []),
    name: nameOf(identity.chain),
    resetSecret: bytes(box.resetSecret),
    enrol: token === null ? null : enrolment(token, identity, today),
    saveChain: (chain) => store.save(FILE, { ...box, chain: chain.map(hex) }),
  }
}

/** What others may know of a box without opening it. */
export type KeptBox = {
  readonly publicKey: Uint8Array
  readonly node: NodeId
  readonly rootPublicKey: Uint8Array
  /** Of its membership; null before enrolment. */
  readonly member: { readonly name: string; readonly roles: number } | null
}

/** Null before the box has a key. IoFault when what it keeps cannot be read. */
export function keptBox(state: string): KeptBox | null {
  if (!existsSync(join(state, FILE))) return null
  const stored = new Keystore(state).load(FILE) as Stored
  const publicKey = nodeCrypto.x25519Public(bytes(stored.staticSecret))
  const [first] = stored.chain
  const leaf = first === undefined ? null : decodeSignedCertificate(bytes(first))
  return {
    publicKey,
    node: nodeIdOf(nodeCrypto, publicKey),
    rootPublicKey: bytes(stored.root),
    member: leaf?.ok === true ? { name: leaf.value.certificate.name, roles: leaf.value.certificate.roles } : null,
  }
}

/** Name in the leaf of a membership chain; empty when there is none. */
export function nameOf(chain: readonly Uint8Array[]): string {
  const leaf = chain[0] === undefined ? null : decodeSignedCertificate(chain[0])
  return leaf?.ok === true ? leaf.value.certificate.name : ''
}

function readToken({ file, network }: BoxSettings): EnrolmentToken {
  const complain = (key: string, wrong: string, right: string): ConfigError =>
    new ConfigError(file, [{ key: `network.${key}`, line: 0, wrong, right }])
  const key = network.token === undefined ? 'token_file' : 'token'
  const text = network.token ?? fromFile(file, network.token_file, complain)
  if (text === undefined) {
    throw complain(
      'token',
      'is missing, and this box is not a member yet',
      `Make one with: ntm token create --dir DIR --name NAME --role bridge|tt|relay|node`,
    )
  }
  const verdict = parseToken(nodeCrypto, text)
  if (!verdict.ok) throw complain(key, verdict.text, 'Paste the whole token printed by ntm token create')
  return verdict.value
}

function fromFile(
  config: string,
  file: string | undefined,
  complain: (key: string, wrong: string, right: string) => ConfigError,
): string | undefined {
  if (file === undefined) return undefined
  try {
    return readFileSync(resolve(dirname(config), file), 'utf8')
  } catch (e) {
    // A wrong path is the operator's mistake.
    const why = e instanceof Error && 'code' in e ? String(e.code) : String(e)
    throw complain('token_file', `${file} cannot be read (${why})`, 'Give the path of a file that holds the token')
  }
}

function fresh(): Pick<Stored, 'version' | 'staticSecret' | 'resetSecret' | 'chain'> {
  return {
    version: 1,
    staticSecret: hex(nodeCrypto.x25519Pair().secret),
    resetSecret: hex(nodeCrypto.random(32)),
    chain: [],
  }
}

const networkOf = (token: EnrolmentToken): Pick<Stored, 'root' | 'coordinator' | 'endpoints'> => ({
  root: hex(token.rootPublicKey),
  coordinator: hex(token.coordinatorStatic),
  endpoints: token.endpoints.map(endpointText),
})

/** A token with a grant lets the box sign its own membership; otherwise the coordinator's issuer will. */
function enrolment(token: EnrolmentToken, identity: Identity, today: number): ControlClientParts['enrol'] {
  const secret = { tokenId: token.id, psk: enrolPsk(nodeCrypto, token.seed) }
  if (token.grant === null) return { secret, chain: [] }
  const grant = decodeSignedCertificate(token.grant.certificate)
  if (!grant.ok) return { secret, chain: [] }
  const { name, roles, expires } = grant.value.certificate
  const wish = { staticKey: identity.static.public, roles, name, issued: Math.floor(today / 1000), expires }
  const made = makeMembership(nodeCrypto, token.grant, wish)
  return { secret, chain: made.ok ? made.chain : [] }
}

function bytes(text: string): Uint8Array {
  const value = unhex(text)
  if (value === null) throw new IoFault(`read ${FILE}`, new Error('damaged: not hex; restore it or enrol again'))
  return value
}

const FILE = 'box.json'
