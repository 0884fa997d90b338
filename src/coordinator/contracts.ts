import { idFromRandom, type NodeId, nodeKey, type PathId, pathId } from '#ntm-lib/addr/ids.ts'
import { type Ip, sameIp } from '#ntm-lib/addr/ip.ts'
import { contains, host, type Prefix } from '#ntm-lib/addr/prefix.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import { same } from '#ntm-lib/base/bytes.ts'
import { type WallTime, wallTime } from '#ntm-lib/base/time.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import type { ContractRow, CoordinatorStore, Member } from '#ntm-lib/ports/coordinator-store.ts'
import type { Calendar, Random } from '#ntm-lib/ports/machine.ts'
import { decodeSignedCertificate, ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import { type Contract, decodeContract, encodeContract } from '#ntm-lib/wire/contract.ts'
import type { Opener } from './route.ts'
import type { CoordinatorKeys, CoordinatorSettings } from './settings.ts'

/** A contract that neither end has accepted yet. The secret is only ever here and in the two directions. */
export type Minted = {
  readonly bytes: Uint8Array
  readonly hash: Uint8Array
  readonly secret: Uint8Array
  readonly opener: Opener
  readonly contract: Contract
}

export type ContractParts = {
  readonly store: CoordinatorStore
  readonly suite: CryptoSuite
  readonly calendar: Calendar
  readonly random: Random
  readonly settings: CoordinatorSettings
  readonly keys: Pick<CoordinatorKeys, 'fingerprint'>
  /** Told of every contract that ended before its lease. */
  readonly ended: (row: ContractRow) => void
  /** Every pair of a box of another zone, its own first; null for boxes of ours. */
  readonly pairsAbroad: (node: NodeId) => readonly VirtualPair[] | null
}

/** The contracts between pairs of boxes: made, looked up, extended and ended. */
export class Contracts {
  readonly #p: ContractParts

  constructor(parts: ContractParts) {
    this.#p = parts
  }

  /** A fresh contract: four new Path IDs and a new secret; nothing is kept. */
  mint(initiator: Member, correspondent: Member, opener: Opener): Minted {
    const { suite, random, settings, keys } = this.#p
    const [from, to] = opener === 'initiator' ? [initiator, correspondent] : [correspondent, initiator]
    const contract: Contract = {
      pathIds: this.#fourIds(),
      fingerprint: keys.fingerprint,
      opener: from.node,
      acceptor: to.node,
      openerMembership: suite.hash(leaf(from)),
      acceptorMembership: suite.hash(leaf(to)),
      openerAllowed: this.allowed(from),
      acceptorAllowed: this.allowed(to),
      suiteMask: settings.suiteMask,
      leaseSeconds: this.leaseSeconds(initiator, correspondent),
      version: 1,
    }
    const bytes = encodeContract(contract)
    return { bytes, hash: suite.hash(bytes), secret: random.bytes(32), opener, contract }
  }

  /** How long these two may have a path: no longer than either is a member, so that nobody needs us to end it. */
  leaseSeconds(a: Member, b: Member): number {
    const today = Math.floor(this.#p.calendar.today() / 1000)
    const left = Math.min(this.#p.settings.leaseSeconds, membershipEnd(a) - today, membershipEnd(b) - today)
    return Math.max(1, left)
  }

  /** Inner sources of one box: a terminator speaks for all servers, any other box for itself and the hosts behind it. */
  allowed(member: Member): Prefix[] {
    const { store, settings } = this.#p
    if ((member.roles & ROLE_TT) !== 0) return [settings.plan.servers4, settings.plan.servers6]
    const own = (): VirtualPair[] => [member.pair, ...store.hostsOf(member.node).map((h) => h.pair)]
    const pairs = this.#p.pairsAbroad(member.node) ?? own()
    return pairs.flatMap((pair) => [host(pair.vip4), host(pair.vip6)])
  }

  /** Whether every address belongs to this box or a host behind it. */
  owns(member: Member, sources: readonly Ip[]): boolean {
    if (sources.length === 0) return true
    const own = this.allowed(member)
    return sources.every((ip) => own.some((p) => sameIp(p.base, ip)))
  }

  /**
   * The pair's contract when it is in force for these sources of `asker` and the addresses `wanted` behind `peer`; null
   * when a new one is needed.
   */
  inForce(
    asker: NodeId,
    peer: NodeId,
    sources: readonly Ip[],
    wanted: readonly Ip[],
    lost: Uint8Array,
  ): ContractRow | null {
    const row = this.#p.store.contract(asker, peer)
    if (row === null || row.leaseUntil <= this.#p.calendar.today()) return null
    if (same(row.hash, lost)) return null
    const decoded = decodeContract(row.bytes)
    if (!decoded.ok) return null
    const { opener, openerAllowed, acceptorAllowed } = decoded.value
    const opened = nodeKey(opener) === nodeKey(asker)
    const [own, other] = opened ? [openerAllowed, acceptorAllowed] : [acceptorAllowed, openerAllowed]
    const within = (ips: readonly Ip[], allowed: readonly Prefix[]): boolean =>
      ips.every((ip) => allowed.some((p) => contains(p, ip)))
    return within(sources, own) && within(wanted, other) ? row : null
  }

  /** A contract in the store as it is in force, by its hash; null when it is over. */
  standing(hash: Uint8Array): { readonly row: ContractRow; readonly contract: Contract } | null {
    const row = this.#p.store.contractByHash(hash)
    if (row === null || row.leaseUntil <= this.#p.calendar.today()) return null
    const decoded = decodeContract(row.bytes)
    return decoded.ok ? { row, contract: decoded.value } : null
  }

  /** Both ends have it: in force from now on, in place of any earlier one of the pair. */
  enact(initiator: NodeId, correspondent: NodeId, { hash, bytes, contract }: Minted): void {
    const leaseUntil = this.#leaseUntil(contract.leaseSeconds)
    this.#p.store.putContract({ initiator, correspondent, hash, bytes, leaseUntil })
  }

  /**
   * A longer lease, by what both ends are told; written only when it grows by an hour, so that a busy pair costs no disk
   * write per name. Gives the row as it is then.
   */
  prolong(row: ContractRow, leaseSeconds: number): ContractRow {
    const leaseUntil = this.#leaseUntil(leaseSeconds)
    if (leaseUntil - row.leaseUntil < 3_600_000) return row
    const longer = { ...row, leaseUntil }
    this.#p.store.putContract(longer)
    return longer
  }

  /** The pair's path is gone; addresses of servers behind it stay quarantined from this moment. */
  end(row: ContractRow): void {
    const { store, calendar } = this.#p
    store.transaction(() => {
      store.removeContract(row.initiator, row.correspondent)
      for (const node of [row.initiator, row.correspondent]) {
        const member = store.member(node)
        if (member !== null) store.putMember({ ...member, pathEnded: calendar.today() })
      }
    })
    this.#p.ended(row)
  }

  /** The latest moment at which `node` may have sent a packet to a terminator. */
  lastPacket(node: NodeId, today: WallTime): WallTime {
    const leases = this.#p.store.contractsOf(node).map((c) => Math.min(c.leaseUntil, today))
    return wallTime(Math.max(this.#p.store.member(node)?.pathEnded ?? 0, ...leases))
  }

  #leaseUntil(leaseSeconds: number): WallTime {
    return wallTime(this.#p.calendar.today() + leaseSeconds * 1000)
  }

  #fourIds(): readonly [PathId, PathId, PathId, PathId] {
    for (;;) {
      const ids = [0, 1, 2, 3].map(() => pathId(idFromRandom(this.#p.random.bytes(6))))
      const [a, b, c, d] = ids
      // Four equal draws of 48 bits mean a broken generator; two equal ones merely bad luck.
      if (a !== undefined && b !== undefined && c !== undefined && d !== undefined && new Set(ids).size === 4)
        return [a, b, c, d]
    }
  }
}

/** When a member's own certificate ends, seconds since 1970; 0 when it has none. */
export function membershipEnd(member: Member): number {
  const [first] = member.chain
  const decoded = first === undefined ? null : decodeSignedCertificate(first)
  return decoded?.ok === true ? decoded.value.certificate.expires : 0
}

function leaf(member: Member): Uint8Array {
  const [first] = member.chain
  return first ?? new Uint8Array(0)
}
