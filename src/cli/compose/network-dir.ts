import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Network } from '#coordinator/network.ts'
import { nodeCrypto } from '#io/crypto-node.ts'
import { IoFault } from '#io/fault.ts'
import { Keystore } from '#io/keystore.ts'
import { type Endpoint, endpointText, parseEndpoint } from '#ntm-lib/addr/endpoint.ts'
import { type Prefix, parsePrefix, prefixText } from '#ntm-lib/addr/prefix.ts'
import type { NodeSlice, VirtualPlan } from '#ntm-lib/addr/virtual.ts'
import { hex, unhex } from '#ntm-lib/base/hex.ts'
import { type Identity, identityOf, type Root, rootOf, type Signer } from '#ntm-lib/crypto/identity.ts'

/** A network as its coordinator keeps it: keys and certificates, without the root's secret. */
export type KeptNetwork = {
  readonly name: string
  readonly zone: string
  readonly endpoints: readonly Endpoint[]
  readonly plan: VirtualPlan
  readonly slice: NodeSlice | null
  readonly rootPublicKey: Uint8Array
  readonly issuer: Signer
  readonly coordinator: Identity
}

type Stored = {
  readonly version: 1
  readonly name: string
  readonly zone: string
  readonly endpoints: readonly string[]
  readonly plan: { readonly [K in keyof VirtualPlan]: string }
  /** Absent while the network has one zone. */
  readonly slice?: { readonly own: string; readonly given: readonly string[] }
  readonly root: string
  readonly issuer: { readonly seed: string; readonly certificate: string }
  readonly coordinator: { readonly secret: string; readonly chain: readonly string[] }
}

/** Where the coordinator of this network keeps its database. */
export const databaseFile = (dir: string): string => join(dir, 'coordinator.db')

export const networkExists = (dir: string): boolean => existsSync(join(dir, NETWORK))

/**
 * Writes a new network: `network.json` for the coordinator and `root.json`, which belongs offline. Of another zone of a network that
 * exists (`slice`) there is no `root.json`: the first zone's is the one.
 */
export function saveNetwork(
  dir: string,
  about: Pick<KeptNetwork, 'name' | 'zone' | 'endpoints'>,
  made: Network,
  slice: NodeSlice | null = null,
): void {
  const store = new Keystore(dir)
  const { plan, root, issuer, coordinator } = made
  const stored: Stored = {
    version: 1,
    name: about.name,
    zone: about.zone,
    endpoints: about.endpoints.map(endpointText),
    plan: {
      nodes4: prefixText(plan.nodes4),
      servers4: prefixText(plan.servers4),
      nodes6: prefixText(plan.nodes6),
      servers6: prefixText(plan.servers6),
    },
    ...(slice === null ? {} : { slice: sliceText(slice) }),
    root: hex(root.public),
    issuer: { seed: hex(issuer.seed), certificate: hex(issuer.certificate) },
    coordinator: { secret: hex(coordinator.static.secret), chain: coordinator.chain.map(hex) },
  }
  if (slice === null) store.save(ROOT, { version: 1, seed: hex(root.seed) })
  store.save(NETWORK, stored)
}

/** Writes down that `given` is another zone's from now on. */
export function saveSlice(dir: string, slice: NodeSlice): void {
  const store = new Keystore(dir)
  store.save(NETWORK, { ...(store.load(NETWORK) as Stored), slice: sliceText(slice) })
}

const sliceText = ({ own, given }: NodeSlice): NonNullable<Stored['slice']> => ({
  own: prefixText(own),
  given: given.map(prefixText),
})

/** Throws IoFault when the directory holds no network, or a damaged one. */
export function loadNetwork(dir: string): KeptNetwork {
  const read = new Keystore(dir).load(NETWORK)
  if (read === null)
    throw new IoFault(`read ${join(dir, NETWORK)}`, new Error('no network here; make one with ntm network init'))
  const stored = read as Stored
  if (stored.version !== 1) throw damaged('made by another version of ntm')
  const secret = bytes(stored.coordinator.secret)
  return {
    name: stored.name,
    zone: stored.zone,
    endpoints: stored.endpoints.map((e) => parseEndpoint(e) ?? bad(e)),
    plan: {
      nodes4: prefix(stored.plan.nodes4),
      servers4: prefix(stored.plan.servers4),
      nodes6: prefix(stored.plan.nodes6),
      servers6: prefix(stored.plan.servers6),
    },
    slice: stored.slice === undefined ? null : { own: prefix(stored.slice.own), given: stored.slice.given.map(prefix) },
    rootPublicKey: bytes(stored.root),
    issuer: { seed: bytes(stored.issuer.seed), certificate: bytes(stored.issuer.certificate) },
    coordinator: identityOf(
      nodeCrypto,
      { secret, public: nodeCrypto.x25519Public(secret) },
      stored.coordinator.chain.map(bytes),
    ),
  }
}

/** The root's secret; null when it was moved off this machine, as it should be. */
export function loadRoot(dir: string): Root | null {
  const read = new Keystore(dir).load(ROOT)
  return read === null ? null : rootOf(nodeCrypto, bytes((read as { seed: string }).seed))
}

const prefix = (text: string): Prefix => parsePrefix(text) ?? bad(text)
const bytes = (text: string): Uint8Array => unhex(text) ?? bad(text.slice(0, 8))
const damaged = (why: string): IoFault => new IoFault(`read ${NETWORK}`, new Error(why))
function bad(text: string): never {
  throw damaged(`damaged at "${text}"; restore it from your copy`)
}

const NETWORK = 'network.json'
const ROOT = 'root.json'
