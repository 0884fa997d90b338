import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { host } from '#ntm-lib/addr/prefix.ts'
import { nodeVip6, type VirtualPair } from '#ntm-lib/addr/virtual.ts'
import { same } from '#ntm-lib/base/bytes.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import { type WallTime, wallTime } from '#ntm-lib/base/time.ts'
import { type ProvenChain, verifyChain } from '#ntm-lib/crypto/certificate.ts'
import { makeMembership } from '#ntm-lib/crypto/identity.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import type { ControlPeer } from '#ntm-lib/negotiate/control-events.ts'
import type { CoordinatorStore, Member, Token } from '#ntm-lib/ports/coordinator-store.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { Calendar } from '#ntm-lib/ports/machine.ts'
import { ROLE_BRIDGE } from '#ntm-lib/wire/certificate.ts'
import type { CertRenew, CertRenewResponse } from '#ntm-lib/wire/messages/membership.ts'
import type { Refusal } from '#ntm-lib/wire/messages/refusal.ts'
import { nextNodeVip4 } from './node-addresses.ts'
import { refusal } from './refuse.ts'
import type { CoordinatorKeys, CoordinatorSettings } from './settings.ts'

export type EnrolParts = {
  readonly store: CoordinatorStore
  readonly suite: CryptoSuite
  readonly calendar: Calendar
  readonly log: Log
  readonly counters: Counters
  readonly settings: Pick<CoordinatorSettings, 'plan' | 'slice' | 'membershipDays'>
  readonly keys: Pick<CoordinatorKeys, 'rootKey' | 'issuer'>
}

/** Makes and renews members. A token makes one identity, however often it is replayed, raced or repeated. */
export class Enrolment {
  readonly #p: EnrolParts
  /** Refusals that had a log line of their own. */
  readonly #said = new WeakSet<Refusal>()

  constructor(parts: EnrolParts) {
    this.#p = parts
  }

  /**
   * The key of a token that may still open a session: not expired, not failed too often, and unused or used so short ago
   * that its box may be repeating itself. Which node asks is only known later, and checked then.
   */
  tokenPsk(id: Uint8Array): Uint8Array | null {
    const token = this.#p.store.token(id)
    return token === null || tokenFault(token, this.#p.calendar.today()) !== null ? null : token.psk
  }

  /** Whether this key may hold a member's session. An expired member may: it has to be able to renew. */
  admits(node: NodeId, staticKey: Uint8Array): 'yes' | 'unknown' | 'revoked' {
    const member = this.#p.store.member(node)
    if (member === null || !same(member.staticKey, staticKey)) return 'unknown'
    return member.revoked ? 'revoked' : 'yes'
  }

  /** Answers a Cert Renew: in an enrolment session it makes the member, in a member's session it renews. */
  renew(peer: ControlPeer, message: CertRenew): CertRenewResponse | Refusal {
    const answer = peer.tokenId === null ? this.#renew(peer, message) : this.#enrol(peer, peer.tokenId, message)
    if (answer.kind === 'refusal') {
      this.#p.counters.count(`coordinator.enrol.${answer.code}`)
      const { code, text } = answer
      if (!this.#said.has(answer)) this.#p.log.warn('enrol.refused', { node: nodeKey(peer.node), code, why: text })
    }
    return answer
  }

  #enrol(peer: ControlPeer, tokenId: Uint8Array, message: CertRenew): CertRenewResponse | Refusal {
    const { store, log } = this.#p
    return store.transaction(() => {
      const today = this.#p.calendar.today()
      const token = store.token(tokenId)
      if (token === null) return refusal('unknown-token', 'no such token')
      const fault = tokenFault(token, today)
      if (fault !== null) return fault
      if (token.usedBy !== null && nodeKey(token.usedBy) !== nodeKey(peer.node)) {
        log.warn('enrol.token-reused', { token: hex(tokenId), node: nodeKey(peer.node), owner: nodeKey(token.usedBy) })
        return this.#failed(token, this.#alarmed(refusal('unknown-token', 'the token was used by another box')))
      }
      const known = store.member(peer.node)
      if (known?.revoked === true) return this.#failed(token, refusal('revoked', 'this box was revoked'))
      // A repeat of the box that consumed it: the same membership again, for its Welcome or answer may have been lost.
      if (token.usedBy !== null && known !== null) return { kind: 'cert-renew-response', chain: known.chain }
      const made = this.#makeMember(peer, token, known, message, today)
      if (made.kind === 'refusal') return this.#failed(token, made)
      store.putToken({ ...token, usedBy: peer.node, usedAt: today })
      return made
    })
  }

  #makeMember(
    peer: ControlPeer,
    token: Token,
    known: Member | null,
    message: CertRenew,
    today: WallTime,
  ): CertRenewResponse | Refusal {
    const { store, log, settings } = this.#p
    const owner = store.pinnedTo(token.name)
    if (owner !== null && nodeKey(owner) !== nodeKey(peer.node)) {
      log.error('enrol.duplicate-name', { name: token.name, node: nodeKey(peer.node), owner: nodeKey(owner) })
      return this.#alarmed(refusal('duplicate-name', `${token.name} belongs to another box`))
    }
    if (known !== null && known.name !== token.name) return refusal('forbidden', `this box is ${known.name}`)
    const vip4 = known === null ? nextNodeVip4(store, settings) : known.pair.vip4
    if (vip4 === null) return refusal('pool-exhausted', 'no virtual address left for nodes')
    const pair = known?.pair ?? { vip4, vip6: nodeVip6(settings.plan.nodes6, peer.node) }
    const wish = { name: token.name, roles: token.roles, pair, grant: token.grant }
    const chain = this.#chainFor(peer, wish, message.chain, today)
    if ('kind' in chain) return chain
    store.pin(token.name, peer.node)
    const before = known ?? { revoked: false, pathEnded: wallTime(0) }
    store.putMember({
      ...before,
      node: peer.node,
      staticKey: peer.staticKey,
      name: token.name,
      roles: chain.proven.leaf.roles,
      chain: chain.bytes,
      pair,
    })
    this.#issued(peer.node, token.name, chain.proven)
    return { kind: 'cert-renew-response', chain: chain.bytes }
  }

  #renew(peer: ControlPeer, message: CertRenew): CertRenewResponse | Refusal {
    const { store, calendar } = this.#p
    return store.transaction(() => {
      const member = store.member(peer.node)
      if (member === null) return refusal('forbidden', 'not a member')
      if (member.revoked) return refusal('revoked', 'this box was revoked')
      const today = calendar.today()
      const current = this.#prove(member.chain, true)
      if (message.chain.length === 0 && current.ok && stillFresh(current.value, today))
        return { kind: 'cert-renew-response', chain: member.chain }
      const chain = this.#chainFor(peer, { ...member, grant: null }, message.chain, today)
      if ('kind' in chain) return chain
      store.putMember({ ...member, chain: chain.bytes })
      this.#issued(peer.node, member.name, chain.proven)
      return { kind: 'cert-renew-response', chain: chain.bytes }
    })
  }

  /** A proven chain for this box: brought along and signed by a grant, or signed here by the issuer. */
  #chainFor(
    peer: ControlPeer,
    wish: { name: string; roles: number; pair: VirtualPair; grant: Uint8Array | null },
    brought: readonly Uint8Array[],
    today: WallTime,
  ): { readonly bytes: readonly Uint8Array[]; readonly proven: ProvenChain } | Refusal {
    const bytes = brought.length > 0 ? brought : this.#sign(peer, wish, today)
    if (bytes === null) return refusal('forbidden', 'this membership must be signed by a grant: bring its chain')
    const verdict = this.#prove(bytes, false)
    if (!verdict.ok) return refusal(verdict.fault === 'expired' ? 'expired' : 'forbidden', `chain: ${verdict.fault}`)
    const { leaf } = verdict.value
    const [, signer] = bytes
    if (wish.grant !== null && (signer === undefined || !same(signer, wish.grant)))
      return refusal('forbidden', "not signed by the token's grant")
    if (!same(leaf.subject, peer.staticKey)) return refusal('forbidden', 'the membership is for another key')
    if (leaf.name !== wish.name) return refusal('forbidden', `the membership is for ${leaf.name}`)
    if (leaf.roles === 0 || (leaf.roles & ~wish.roles) !== 0) return refusal('forbidden', 'more roles than granted')
    return { bytes, proven: verdict.value }
  }

  #sign(
    peer: ControlPeer,
    wish: { name: string; roles: number; pair: VirtualPair; grant: Uint8Array | null },
    today: WallTime,
  ): readonly Uint8Array[] | null {
    const { suite, keys, settings } = this.#p
    if (keys.issuer === null || wish.grant !== null) return null
    const issued = Math.floor(today / 1000)
    const made = makeMembership(suite, keys.issuer, {
      staticKey: peer.staticKey,
      roles: wish.roles,
      name: wish.name,
      // A bridge speaks for its hosts too: their pairs come and go, so only the issuer's prefixes bind it.
      prefixes: (wish.roles & ROLE_BRIDGE) !== 0 ? [] : [host(wish.pair.vip4), host(wish.pair.vip6)],
      issued,
      expires: issued + settings.membershipDays * 86_400,
    })
    return made.ok ? made.chain : null
  }

  #prove(chain: readonly Uint8Array[], expiredToo: boolean): ReturnType<typeof verifyChain> {
    const { suite, calendar, keys } = this.#p
    const now = calendar.today()
    return verifyChain({
      suite,
      chain,
      rootPublicKey: keys.rootKey,
      now,
      floor: wallTime(0),
      revoked: () => false,
      expiredToo,
    })
  }

  #alarmed(why: Refusal): Refusal {
    this.#said.add(why)
    return why
  }

  #failed(token: Token, why: Refusal): Refusal {
    this.#p.store.putToken({ ...token, failures: token.failures + 1 })
    return why
  }

  #issued(node: NodeId, name: string, { leaf }: ProvenChain): void {
    const { store, log } = this.#p
    const count = store.number('serial') + 1
    store.putNumber('serial', count)
    store.putNumber('zone-serial', store.number('zone-serial') + 1)
    log.info('enrol.issued', { count, node: nodeKey(node), name, roles: leaf.roles, expires: leaf.expires })
  }
}

function tokenFault(token: Token, today: WallTime): Refusal | null {
  if (token.failures >= MAX_FAILURES) return refusal('unknown-token', 'refused too often')
  if (token.usedBy !== null)
    return today < token.usedAt + REPEAT_MILLIS ? null : refusal('unknown-token', 'already used')
  return token.expires <= today ? refusal('expired', 'the token has expired') : null
}

/** Memberships are renewed in their last third: day 60 of 90. */
const stillFresh = ({ leaf }: ProvenChain, today: WallTime): boolean =>
  leaf.expires - today / 1000 > (leaf.expires - leaf.issued) / 3

const MAX_FAILURES = 5
const REPEAT_MILLIS = 24 * 3_600_000
