import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { Fingerprint, NodeId } from '#ntm-lib/addr/ids.ts'
import type { NodeSlice, VirtualPlan } from '#ntm-lib/addr/virtual.ts'
import type { Optimise } from '#ntm-lib/wire/messages/direction.ts'

/** What the operator decides about one coordinator. Names are lower case without the last dot. */
export type CoordinatorSettings = {
  /** The zone whose names are NTM names and which this coordinator answers for. */
  readonly zone: string
  readonly plan: VirtualPlan
  /** All of the plan's nodes when it is null: the network has one zone. */
  readonly slice: NodeSlice | null
  /** Whether real addresses of nodes are published in DNS, as the seeds do; `private` answers NODATA. */
  readonly publish: 'private' | 'seed'
  /** Where this coordinator is reached; written into NTM records. */
  readonly endpoints: readonly Endpoint[]
  /** Names of the zone's name servers; the first is the SOA's. */
  readonly nameServers: readonly string[]
  readonly keepAliveNatSeconds: number
  /** Of boxes without a NAT: a firewall may stand before them all the same, and forget them as soon as a NAT would. */
  readonly keepAliveSeconds: number
  /** Terminators' and relays' own: they are few, and everybody waits for them after a restart of the coordinator. */
  readonly keepAliveTerminatorSeconds: number
  readonly leaseSeconds: number
  /** Hosts behind one bridge that get a virtual pair. */
  readonly hostsPerNode: number
  /** Ordinary servers one node may know at a time. */
  readonly serversPerNode: number
  /** Directions one node may have under way. */
  readonly directionsPerNode: number
  /** Tunnel ciphers offered: bit 0 ChaCha20-Poly1305, bit 1 AES-128-GCM, bit 2 AES-256-GCM. */
  readonly suiteMask: number
  /** Whether ends look for a direct way while a relay works for them (`ice`), or stay with the seeds' rule (`seed`). */
  readonly optimise: Optimise
  /** Most that one relayed path may carry; 0 = no limit but the relay's own. */
  readonly relayed: { readonly kbitPerSecond: number; readonly packetsPerSecond: number }
  /** Days a membership signed by the issuer is good for. */
  readonly membershipDays: number
  readonly dns: {
    readonly recordTtlSeconds: number
    readonly negativeTtlSeconds: number
    /** Answers per second to one /24 or /56 over UDP; beyond it every second one is cut (TC), the others dropped. */
    readonly answersPerSecond: number
  }
}

/** Everything but what only the operator can know. */
export const DEFAULT_SETTINGS = {
  slice: null,
  publish: 'private',
  keepAliveNatSeconds: 20,
  keepAliveSeconds: 25,
  keepAliveTerminatorSeconds: 5,
  leaseSeconds: 86_400,
  hostsPerNode: 128,
  serversPerNode: 16_384,
  directionsPerNode: 64,
  suiteMask: 0b111,
  optimise: 'ice',
  relayed: { kbitPerSecond: 0, packetsPerSecond: 0 },
  membershipDays: 90,
  dns: { recordTtlSeconds: 60, negativeTtlSeconds: 30, answersPerSecond: 50 },
} as const satisfies Partial<CoordinatorSettings>

/** Secrets and certificates of one coordinator. */
export type CoordinatorKeys = {
  readonly node: NodeId
  readonly fingerprint: Fingerprint
  /** The network root's Ed25519 public key. */
  readonly rootKey: Uint8Array
  /** The coordinator's own chain, leaf first, without the root. */
  readonly chain: readonly Uint8Array[]
  /** Signs memberships: the issuer's Ed25519 seed and its certificate; null when only grants may sign. */
  readonly issuer: { readonly seed: Uint8Array; readonly certificate: Uint8Array } | null
}
