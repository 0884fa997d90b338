import { extendNetwork, makeNetwork, makeToken, type Network } from '#coordinator/network.ts'
import type { Lead } from '#coordinator/other-zones.ts'
import { type CoordinatorSettings, DEFAULT_SETTINGS } from '#coordinator/settings.ts'
import { MemoryStore } from '#coordinator/store-memory.ts'
import { nodeCrypto } from '#io/crypto-node.ts'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'
import { type Instant, type WallTime, wallTime } from '#ntm-lib/base/time.ts'
import { makeMembership, type Signer } from '#ntm-lib/crypto/identity.ts'
import type { CryptoSuite, KeyPair } from '#ntm-lib/crypto/suite.ts'
import type { ControlClient } from '#ntm-lib/negotiate/control-client.ts'
import type { Log, LogFields } from '#ntm-lib/ports/log.ts'
import { decodeSignedCertificate } from '#ntm-lib/wire/certificate.ts'
import { seededCrypto } from '#test/support/seeded-crypto.ts'

export type Logged = { readonly event: string; readonly fields: LogFields }

/** What one box keeps on disk. */
export type Disk = {
  readonly name: string
  readonly roles: number
  readonly key: KeyPair
  readonly resetSecret: Uint8Array
  chain: readonly Uint8Array[]
  enrol: ConstructorParameters<typeof ControlClient>[0]['enrol']
}

export type HomeWish = {
  readonly seed: number
  readonly clock: { readonly now: Instant }
  /** Where the coordinator is; written into tokens and records. */
  readonly endpoints: readonly Endpoint[]
  readonly settings: Partial<CoordinatorSettings>
  /** Another zone of the network that this one has; `own` is its slice of the nodes' addresses. */
  readonly extends?: { readonly home: Home; readonly zone: string; readonly own: Prefix }
}

/** One NTM network as its operator has it: keys, store, calendar, logs, and the boxes' disks. */
export class Home {
  readonly store = new MemoryStore()
  readonly network: Network
  readonly settings: CoordinatorSettings
  readonly endpoints: readonly Endpoint[]
  readonly logged: Record<string, Logged[]> = {}
  /** Added to the calendar: memberships age without anybody's keep-alives being played. */
  aged = 0
  /** Other zones' coordinators as the operator wrote them down. */
  readonly federation: { readonly zone: string; readonly lead: Lead }[] = []
  /** What DNS says of a name's coordinator. */
  lookUp: (name: string) => Lead | null = () => null
  readonly #clock: { readonly now: Instant }
  readonly #seed: number
  #starts = 0

  constructor({ seed, clock, endpoints, settings, extends: other }: HomeWish) {
    this.#seed = seed
    this.#clock = clock
    this.endpoints = endpoints
    const calendar = { today: () => this.today() }
    const zone = other?.zone ?? 'ntm.example'
    const wish = { name: `dc.${zone}`, zone, suite: this.suite(), calendar }
    this.network =
      other === undefined ? makeNetwork(wish) : extendNetwork({ ...wish, ...other.home.network, slice4: other.own })
    const plan = { ...this.network.plan, ...settings.plan }
    const slice = other === undefined ? null : { own: other.own, given: [] }
    const own = { zone, endpoints, slice, nameServers: [`ns.${zone}`] }
    this.settings = { ...DEFAULT_SETTINGS, ...own, ...settings, plan }
  }

  /** Monotonic time of the world it is in. */
  get now(): Instant {
    return this.#clock.now
  }

  today(): WallTime {
    return wallTime(1_800_000_000_000 + Math.floor(this.now) + this.aged)
  }

  suite(): CryptoSuite {
    return seededCrypto(`system ${this.#seed} ${this.#starts++}`)
  }

  logOf(who: string): Log {
    const lines: Logged[] = []
    const list = this.logged[who] ?? lines
    this.logged[who] = list
    const log = (event: string, fields: LogFields = {}): void => void list.push({ event, fields })
    return { debug: () => {}, info: log, warn: log, error: log }
  }

  lines(who: string, event: string): Logged[] {
    return (this.logged[who] ?? []).filter((l) => l.event === event)
  }

  /** A token for `name`, and a box that has just got it. */
  disk(name: string, roles: number): Disk {
    const { root, plan, coordinator } = this.network
    const suite = this.suite()
    const fqdn = `${name}.${this.settings.zone}`
    const made = makeToken({
      name: fqdn,
      roles,
      rootPublicKey: root.public,
      root,
      plan,
      coordinatorStatic: coordinator.static.public,
      endpoints: this.endpoints,
      validSeconds: 3600,
      suite,
      calendar: { today: () => this.today() },
    })
    if (made === null) throw new BugError('no token')
    this.store.putToken(made.row)
    const key = suite.x25519Pair()
    const secret = { tokenId: made.row.id, psk: made.row.psk }
    return {
      name: fqdn,
      roles,
      key,
      resetSecret: suite.random(32),
      chain: [],
      enrol: { secret, chain: this.#granted(made.grant, key, roles, fqdn) },
    }
  }

  /** Another box that got hold of the same token. */
  thief(of: Disk): Disk {
    return { ...of, key: this.suite().x25519Pair() }
  }

  #granted(grant: Signer | null, key: KeyPair, roles: number, name: string): readonly Uint8Array[] {
    if (grant === null) return []
    const certificate = decodeSignedCertificate(grant.certificate)
    if (!certificate.ok) throw new BugError(certificate.fault)
    const issued = Math.floor(this.today() / 1000)
    const { expires } = certificate.value.certificate
    const made = makeMembership(nodeCrypto, grant, { staticKey: key.public, roles, name, issued, expires })
    if (!made.ok) throw new BugError(made.fault)
    return made.chain
  }
}
