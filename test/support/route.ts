import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { parseEndpoint } from '#ntm-lib/addr/endpoint.ts'
import { idFromRandom, type PathId, pathId } from '#ntm-lib/addr/ids.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'
import type { Identity } from '#ntm-lib/crypto/identity.ts'
import { contractHash } from '#ntm-lib/crypto/schedule.ts'
import type { CryptoSuite, SuiteId } from '#ntm-lib/crypto/suite.ts'
import { AES_128_GCM, CHACHA20_POLY1305 } from '#ntm-lib/crypto/suite.ts'
import { Tunnels } from '#ntm-lib/negotiate/tunnels.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { type Log, quiet } from '#ntm-lib/ports/log.ts'
import type { Certificate } from '#ntm-lib/wire/certificate.ts'
import { type Contract, encodeContract } from '#ntm-lib/wire/contract.ts'
import type { Candidate } from '#ntm-lib/wire/messages/common.ts'
import type { Route } from '#ntm-lib/wire/messages/direction.ts'
import { prefixOf, type TestNetwork, TODAY } from './network.ts'

export type RouteWish = {
  readonly opener: Identity
  readonly acceptor: Identity
  readonly openerAt: readonly Endpoint[]
  readonly acceptorAt: readonly Endpoint[]
  readonly openerAllowed?: readonly Prefix[]
  readonly acceptorAllowed?: readonly Prefix[]
  /** Changes to the contract, for both ends alike. */
  readonly contract?: Partial<Contract>
}

export type RoutePair = {
  readonly opener: Route
  readonly acceptor: Route
  readonly contract: Contract
  readonly contractHash: Uint8Array
}

/** What a coordinator would hand to the two ends of one path: real certificates, one contract, one secret. */
export function routePair(suite: CryptoSuite, network: TestNetwork, w: RouteWish): RoutePair {
  const id = (): PathId => pathId(idFromRandom(suite.random(6)))
  const contract: Contract = {
    pathIds: [id(), id(), id(), id()],
    fingerprint: network.root.fingerprint,
    opener: w.opener.nodeId,
    acceptor: w.acceptor.nodeId,
    openerMembership: suite.hash(leafOf(w.opener)),
    acceptorMembership: suite.hash(leafOf(w.acceptor)),
    openerAllowed: w.openerAllowed ?? NODE_A,
    acceptorAllowed: w.acceptorAllowed ?? NODE_B,
    suiteMask: 0b111,
    leaseSeconds: 24 * 3600,
    version: 1,
    ...w.contract,
  }
  const encoded = encodeContract(contract)
  const shared = { contract: encoded, pathSecret: suite.random(32), peerLocationVersion: 1, ...DIRECT }
  return {
    contract,
    contractHash: contractHash(suite, encoded),
    opener: {
      ...shared,
      peerChain: w.acceptor.chain,
      peerCandidates: w.acceptorAt.map(candidate),
      youAre: 'opener',
    },
    acceptor: { ...shared, peerChain: w.opener.chain, peerCandidates: w.openerAt.map(candidate), youAre: 'acceptor' },
  }
}

export type TunnelsWish = {
  readonly suites?: readonly SuiteId[]
  readonly innerMtuBytes?: number
  readonly underlayMtuBytes?: number
  readonly resetSecret?: Uint8Array
  readonly handshakesPerSecond?: number
  readonly log?: Log
  readonly counters?: CounterMap
  readonly revoked?: (c: Certificate) => boolean
  readonly mirror?: { readonly cells: Float64Array }
}

/** One node's tunnels as a role would make them, at `TODAY`. */
export function tunnelsOf(
  suite: CryptoSuite,
  network: TestNetwork,
  identity: Identity,
  w: TunnelsWish = {},
): { readonly tunnels: Tunnels; readonly counters: CounterMap } {
  const counters = w.counters ?? new CounterMap()
  const tunnels = new Tunnels({
    suite,
    identity,
    trust: {
      rootPublicKey: network.root.public,
      now: () => TODAY,
      floor: () => TODAY,
      revoked: w.revoked ?? (() => false),
    },
    random: { bytes: (count) => suite.random(count) },
    log: w.log ?? quiet,
    counters,
    bootId: suite.random(8),
    revocationVersion: () => 0,
    mirror: w.mirror ?? null,
    settings: {
      innerMtuBytes: w.innerMtuBytes ?? 9000,
      underlayMtuBytes: w.underlayMtuBytes ?? 1500,
      suites: w.suites ?? [AES_128_GCM, CHACHA20_POLY1305],
      resetSecret: w.resetSecret ?? suite.random(32),
      ...(w.handshakesPerSecond === undefined ? {} : { handshakesPerSecond: w.handshakesPerSecond }),
    },
  })
  return { tunnels, counters }
}

export function endpointOf(text: string): Endpoint {
  const e = parseEndpoint(text)
  if (e === null) throw new BugError(`not an endpoint: ${text}`)
  return e
}

/** Inner addresses of the two ends unless told otherwise. */
export const A4 = '198.18.0.10'
export const A6 = 'fd12:3456:789a::a'
export const B4 = '198.18.0.11'
export const B6 = 'fd12:3456:789a::b'
const NODE_A = [prefixOf(`${A4}/32`), prefixOf(`${A6}/128`)]
const NODE_B = [prefixOf(`${B4}/32`), prefixOf(`${B6}/128`)]

/** No relay, and none is looked for. */
export const DIRECT = { way: 'direct', optimise: 'seed', relay: null } as const

const candidate = (endpoint: Endpoint): Candidate => ({ type: 'local', endpoint, priority: 1 })

function leafOf(identity: Identity): Uint8Array {
  const [leaf] = identity.chain
  if (leaf === undefined) throw new BugError('a member has a chain')
  return leaf
}
