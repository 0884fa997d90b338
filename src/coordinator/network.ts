import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { ip6FromBytes } from '#ntm-lib/addr/ip6.ts'
import { type Prefix, prefixText } from '#ntm-lib/addr/prefix.ts'
import { DEFAULT_NODES4, DEFAULT_SERVERS4, type VirtualPlan } from '#ntm-lib/addr/virtual.ts'
import { concat } from '#ntm-lib/base/bytes.ts'
import { invariant } from '#ntm-lib/base/invariant.ts'
import { type WallTime, wallTime } from '#ntm-lib/base/time.ts'
import {
  type Identity,
  identityOf,
  makeCoordinatorChain,
  makeGrant,
  makeIssuer,
  makeRoot,
  type Root,
  type Signer,
} from '#ntm-lib/crypto/identity.ts'
import { enrolPsk } from '#ntm-lib/crypto/schedule.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import { formatToken } from '#ntm-lib/crypto/token.ts'
import type { Token } from '#ntm-lib/ports/coordinator-store.ts'
import type { Calendar } from '#ntm-lib/ports/machine.ts'
import { ROLE_BRIDGE, ROLE_NODE, ROLE_RELAY, ROLE_TT } from '#ntm-lib/wire/certificate.ts'

export type NetworkWish = {
  /** The coordinator's host name below the zone, lower case: `dc.plant.example`. */
  readonly name: string
  /** `plant.example`. */
  readonly zone: string
  /** Two ULA prefixes of 48 bits: nodes and servers; drawn at random (RFC 4193 §3.2) when absent. */
  readonly ula?: { readonly nodes6: Prefix; readonly servers?: Prefix }
  /** Ranges of virtual IPv4 addresses; 198.18.0.0/16 and 198.19.0.0/16 when absent. */
  readonly nodes4?: Prefix
  readonly servers4?: Prefix
  readonly suite: CryptoSuite
  readonly calendar: Calendar
}

/** A new network. `root.seed` belongs offline; the rest is the coordinator's. */
export type Network = {
  readonly root: Root
  readonly issuer: Signer
  readonly coordinator: Identity
  readonly plan: VirtualPlan
}

/** Makes root, issuer, the coordinator's key and certificate, and the virtual plan of a new network. */
export function makeNetwork({ name, zone, ula, nodes4, servers4, suite, calendar }: NetworkWish): Network {
  const plan: VirtualPlan = {
    nodes4: nodes4 ?? DEFAULT_NODES4,
    servers4: servers4 ?? DEFAULT_SERVERS4,
    nodes6: ula?.nodes6 ?? randomUla(suite),
    servers6: { base: (ula?.servers ?? randomUla(suite)).base, bits: 64 },
  }
  invariant(plan.nodes6.bits === 48 && typeof plan.nodes6.base !== 'number', `a /48, got ${prefixText(plan.nodes6)}`)
  const root = makeRoot(suite)
  const validity = validFor(calendar, TEN_YEARS)
  const issuer = makeIssuer(suite, root, { suffix: `.${zone}`, prefixes: [plan.nodes4, plan.nodes6], ...validity })
  const pair = suite.x25519Pair()
  const chain = makeCoordinatorChain(suite, root, { staticKey: pair.public, name, ...validity })
  return { root, issuer, coordinator: identityOf(suite, pair, chain), plan }
}

export type ExtensionWish = Pick<NetworkWish, 'name' | 'zone' | 'suite' | 'calendar'> & {
  readonly root: Root
  readonly plan: VirtualPlan
  /** Part of the plan's `nodes4` that the new zone's nodes get. */
  readonly slice4: Prefix
}

/** Another zone of the same network: its own issuer and coordinator, under the same root (SEED 002 §3: several DCs). */
export function extendNetwork({ name, zone, root, plan, slice4, suite, calendar }: ExtensionWish): Network {
  const validity = validFor(calendar, TEN_YEARS)
  const issuer = makeIssuer(suite, root, { suffix: `.${zone}`, prefixes: [slice4, plan.nodes6], ...validity })
  const pair = suite.x25519Pair()
  const chain = makeCoordinatorChain(suite, root, { staticKey: pair.public, name, ...validity })
  return { root, issuer, coordinator: identityOf(suite, pair, chain), plan }
}

export type TokenWish = {
  readonly name: string
  /** Bits `ROLE_…`. A terminator or relay needs the root, which signs a grant for it. */
  readonly roles: number
  readonly rootPublicKey: Uint8Array
  readonly root: Root | null
  readonly plan: VirtualPlan
  readonly coordinatorStatic: Uint8Array
  readonly endpoints: readonly Endpoint[]
  readonly validSeconds: number
  readonly suite: CryptoSuite
  readonly calendar: Calendar
}

/** `text` goes to the box, `row` into the store; `grant` is inside `text` when the box signs its own membership. */
export type MadeToken = { readonly text: string; readonly row: Token; readonly grant: Signer | null }

/** What the operator gives to the box, and the row the coordinator keeps; null when a grant is needed without the root. */
export function makeToken(wish: TokenWish): MadeToken | null {
  const { suite, calendar, roles, plan } = wish
  const name = wish.name.toLowerCase().replace(/\.$/, '')
  const granted = (roles & ~(ROLE_NODE | ROLE_BRIDGE)) !== 0
  const grantable = (roles & ~(ROLE_NODE | ROLE_BRIDGE | ROLE_TT | ROLE_RELAY)) === 0
  if (roles === 0 || !grantable || (granted && wish.root === null)) return null
  const prefixes = (roles & ROLE_TT) !== 0 ? [plan.servers4, plan.servers6] : []
  // The membership outlives the token: it is signed by the box when it enrols, and renewed with the next grant.
  const validity = validFor(calendar, wish.validSeconds + ONE_YEAR)
  const grant =
    granted && wish.root !== null ? makeGrant(suite, wish.root, { roles, name, prefixes, ...validity }) : null
  const [id, seed] = [suite.random(8), suite.random(32)]
  const { rootPublicKey, coordinatorStatic, endpoints } = wish
  const text = formatToken(suite, { rootPublicKey, coordinatorStatic, endpoints, id, seed, roles, grant })
  const row: Token = {
    id,
    psk: enrolPsk(suite, seed),
    name,
    roles,
    grant: grant?.certificate ?? null,
    expires: after(calendar.today(), wish.validSeconds),
    usedBy: null,
    usedAt: wallTime(0),
    failures: 0,
  }
  return { text, row, grant }
}

/** RFC 4193 §3.1: fd, then 40 random bits. */
function randomUla(suite: CryptoSuite): Prefix {
  return { base: ip6FromBytes(concat(Uint8Array.of(0xfd), suite.random(5), new Uint8Array(10))), bits: 48 }
}

function validFor(calendar: Calendar, seconds: number): { issued: number; expires: number } {
  const issued = Math.floor(calendar.today() / 1000)
  return { issued, expires: issued + seconds }
}

const after = (t: WallTime, seconds: number): WallTime => wallTime(t + seconds * 1000)
const ONE_YEAR = 365 * 86_400
const TEN_YEARS = 10 * ONE_YEAR
