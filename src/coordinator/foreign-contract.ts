import type { NodeId } from '#ntm-lib/addr/ids.ts'
import { same } from '#ntm-lib/base/bytes.ts'
import { wallTime } from '#ntm-lib/base/time.ts'
import { type ProvenChain, verifyChain } from '#ntm-lib/crypto/certificate.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import type { ContractRow, CoordinatorStore } from '#ntm-lib/ports/coordinator-store.ts'
import type { Calendar } from '#ntm-lib/ports/machine.ts'
import { decodeContract } from '#ntm-lib/wire/contract.ts'
import type { Route } from '#ntm-lib/wire/messages/direction.ts'
import { covers } from './other-zones.ts'
import type { CoordinatorKeys, CoordinatorSettings } from './settings.ts'

export type ForeignContractParts = {
  readonly store: CoordinatorStore
  readonly suite: CryptoSuite
  readonly calendar: Calendar
  readonly keys: Pick<CoordinatorKeys, 'rootKey'>
  readonly settings: Pick<CoordinatorSettings, 'leaseSeconds'>
}

/**
 * Keeps a contract that another zone's coordinator made for a box of ours, in place of any earlier one of the pair. The
 * ends check everything again; here it only has to be about this box and one of that zone. The reason when it is not.
 */
export function enactForeign(
  p: ForeignContractParts,
  node: NodeId,
  zone: string,
  { contract: bytes, peerChain }: Route,
  hash: Uint8Array,
): { readonly before: ContractRow | null } | string {
  const decoded = decodeContract(bytes)
  if (!decoded.ok || !same(p.suite.hash(bytes), hash)) return 'a contract that is none'
  const { opener, acceptor, leaseSeconds } = decoded.value
  const peer = same(opener, node) ? acceptor : same(acceptor, node) ? opener : null
  if (peer === null) return 'a contract between others'
  const proven = chainOf(p, peerChain)
  if (proven === null || !same(proven.nodeId, peer)) return 'a peer whose certificates prove nothing'
  const { name } = proven.leaf
  if (!covers(zone, name) || p.store.member(peer) !== null) return `a peer that is not of ${zone}`
  const before = p.store.contract(node, peer)
  const today = p.calendar.today()
  const leaseUntil = wallTime(today + Math.min(leaseSeconds, p.settings.leaseSeconds) * 1000)
  p.store.transaction(() => {
    p.store.putForeign({ node: peer, zone, name, chain: peerChain })
    p.store.putContract({ initiator: node, correspondent: peer, hash, bytes, leaseUntil })
  })
  return { before }
}

function chainOf({ suite, calendar, keys }: ForeignContractParts, chain: readonly Uint8Array[]): ProvenChain | null {
  const now = calendar.today()
  const verdict = verifyChain({
    ...{ suite, chain, rootPublicKey: keys.rootKey },
    ...{ now, floor: now, revoked: () => false },
  })
  return verdict.ok ? verdict.value : null
}
