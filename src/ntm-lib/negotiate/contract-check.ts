import type { Endpoint } from '../addr/endpoint.ts'
import { type Fingerprint, type NodeId, nodeKey } from '../addr/ids.ts'
import { covers, type Prefix } from '../addr/prefix.ts'
import { same } from '../base/bytes.ts'
import { hex } from '../base/hex.ts'
import type { WallTime } from '../base/time.ts'
import { type ChainFault, isTerminator, type ProvenChain, peerNameMatches, verifyChain } from '../crypto/certificate.ts'
import { contractHash } from '../crypto/schedule.ts'
import type { CryptoSuite } from '../crypto/suite.ts'
import type { Certificate } from '../wire/certificate.ts'
import { type Contract, decodeContract } from '../wire/contract.ts'
import type { Route } from '../wire/messages/direction.ts'
import type { RefusalCode } from '../wire/messages/refusal.ts'

/** What a box believes in, and the two moments it may know. */
export type Trust = {
  readonly rootPublicKey: Uint8Array
  /** Trusted time; null while the box has none. */
  readonly now: () => WallTime | null
  /** A moment that has certainly passed. */
  readonly floor: () => WallTime
  readonly revoked: (certificate: Certificate) => boolean
}

/** What the asker knows about the peer before the coordinator speaks. */
export type Expected = {
  /** The name that was asked for; the peer must carry or host it. */
  readonly peerName?: string
  /** An ordinary server's name was asked for: only a terminator may answer. */
  readonly terminatorRequired?: boolean
  /** A name that may be a node's or an ordinary server's: who answers carries or hosts it, or is a terminator. */
  readonly peerOrTerminator?: string
}

export type Checker = {
  readonly suite: CryptoSuite
  readonly trust: Trust
  readonly fingerprint: Fingerprint
  readonly nodeId: NodeId
  /** H of our membership certificates: the newest, and the one before it while contracts made on it live. */
  readonly memberships: readonly Uint8Array[]
  /** Bits of the tunnel ciphers we can do. */
  readonly suiteMask: number
}

export type CheckedRoute = {
  readonly contract: Contract
  readonly hash: Uint8Array
  readonly peer: ProvenChain
  readonly candidates: readonly Endpoint[]
}

export type RouteVerdict =
  | { readonly ok: true; readonly value: CheckedRoute }
  | { readonly ok: false; readonly code: RefusalCode; readonly why: string }

/**
 * Whether a route may be used: an end believes certificates under the pinned root, never the coordinator's word
 * (`docs/security.md`, Ends check Route Direction; attack test 7). Total; changes nothing.
 */
export function checkRoute(c: Checker, route: Route, expected: Expected): RouteVerdict {
  const decoded = decodeContract(route.contract)
  if (!decoded.ok) return no(decoded.fault === 'bad-version' ? 'version' : 'unsupported', `contract: ${decoded.fault}`)
  const contract = decoded.value
  if (!same(contract.fingerprint, c.fingerprint)) return no('forbidden', 'contract of another network')
  if (contract.version !== 1) return no('version', `protocol version ${contract.version}`)
  if ((contract.suiteMask & c.suiteMask) === 0) return no('version', 'no cipher in common')
  if (contract.leaseSeconds === 0) return no('expired', 'a lease of no time')
  if (route.pathSecret.length !== 32) return no('unsupported', 'a path secret is 32 bytes')

  const opening = route.youAre === 'opener'
  const [own, other] = opening ? [contract.opener, contract.acceptor] : [contract.acceptor, contract.opener]
  const [ownMembership, otherMembership] = opening
    ? [contract.openerMembership, contract.acceptorMembership]
    : [contract.acceptorMembership, contract.openerMembership]
  if (nodeKey(own) !== nodeKey(c.nodeId)) return no('forbidden', 'contract names another node in our place')
  if (nodeKey(own) === nodeKey(other)) return no('forbidden', 'contract with ourselves')
  if (!c.memberships.some((m) => same(m, ownMembership))) {
    return no('forbidden', 'contract was made on another membership of ours')
  }

  const proven = verifyChain({
    suite: c.suite,
    chain: route.peerChain,
    rootPublicKey: c.trust.rootPublicKey,
    now: c.trust.now(),
    floor: c.trust.floor(),
    revoked: c.trust.revoked,
  })
  if (!proven.ok) return no(codeOf(proven.fault), `peer's certificates: ${proven.fault}`)
  const peer = proven.value
  const [leafBytes] = route.peerChain
  if (leafBytes === undefined || !same(c.suite.hash(leafBytes), otherMembership)) {
    return no('forbidden', "contract was made on another membership of the peer's")
  }
  if (nodeKey(peer.nodeId) !== nodeKey(other)) return no('forbidden', 'certificate of another node')
  if (expected.terminatorRequired === true && !isTerminator(peer)) return no('forbidden', 'the peer is no terminator')
  if (expected.peerName !== undefined && expected.peerName !== '' && !peerNameMatches(peer, expected.peerName)) {
    return no('forbidden', 'the peer has another name')
  }
  if (
    expected.peerOrTerminator !== undefined &&
    !isTerminator(peer) &&
    !peerNameMatches(peer, expected.peerOrTerminator)
  ) {
    return no('forbidden', 'the peer has another name and is no terminator')
  }
  const claimed = opening ? contract.acceptorAllowed : contract.openerAllowed
  if (!peer.certificates.every((cert) => within(claimed, cert.prefixes))) {
    return no('bad-address', "inner addresses outside the peer's certificates")
  }
  return {
    ok: true,
    value: {
      contract,
      hash: contractHash(c.suite, route.contract),
      peer,
      candidates: distinct(route.peerCandidates.toSorted((a, b) => b.priority - a.priority).map((p) => p.endpoint)),
    },
  }
}

/** A certificate without prefixes leaves addresses to the coordinator; one with prefixes binds it. */
const within = (claimed: readonly Prefix[], certified: readonly Prefix[]): boolean =>
  certified.length === 0 || claimed.every((p) => certified.some((q) => covers(q, p)))

function distinct(endpoints: readonly Endpoint[]): Endpoint[] {
  const seen = new Map<string, Endpoint>()
  for (const e of endpoints) {
    const key = typeof e.ip === 'number' ? `${e.ip}:${e.port}` : `${hex(e.ip)}:${e.port}`
    if (!seen.has(key)) seen.set(key, e)
  }
  return [...seen.values()].slice(0, MAX_CANDIDATES)
}

function codeOf(fault: ChainFault): RefusalCode {
  if (fault === 'revoked' || fault === 'expired') return fault
  return 'forbidden'
}

const no = (code: RefusalCode, why: string): RouteVerdict => ({ ok: false, code, why })
/** Requests go to all of them at once: more would make a lying coordinator's target a victim. */
const MAX_CANDIDATES = 8
