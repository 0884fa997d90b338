import { idFromRandom, type NodeId, nodeKey, type PathId, pathId } from '#ntm-lib/addr/ids.ts'
import { type Ip, sameIp } from '#ntm-lib/addr/ip.ts'
import { contains, host, type Prefix } from '#ntm-lib/addr/prefix.ts'
import { same } from '#ntm-lib/base/bytes.ts'
import { type WallTime, wallTime } from '#ntm-lib/base/time.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import type { ContractRow, CoordinatorStore, Member } from '#ntm-lib/ports/coordinator-store.ts'
import type { Calendar, Random } from '#ntm-lib/ports/machine.ts'
import { ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import { type Contract, decodeContract, encodeContract } from '#ntm-lib/wire/contract.ts'
import type { Opener } from './route.ts'
import type { CoordinatorKeys, CoordinatorSettings } from './settings.ts'

/** A contract that neither end has accepted yet. The secret is only ever here and in the two directions. */
export type Minted = {
  readonly bytes: Uint8Array
  readonly hash: Uint8Array
  readonly secret: Uint8Array
  readonly opener: Opener
}

export type ContractParts = {
  readonly store: CoordinatorStore
  readonly suite: CryptoSuite
  readonly calendar: Calendar
  readonly random: Random
  readonly settings: CoordinatorSettings
  readonly keys: Pick<CoordinatorKeys, 'fingerprint'>
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
      leaseSeconds: settings.leaseSeconds,
      version: 1,
    }
    const bytes = encodeContract(contract)
    return { bytes, hash: suite.hash(bytes), secret: random.bytes(32), opener }
  }

  /** Inner sources of one box: a terminator speaks for all servers, any other box for itself and the hosts behind it. */
  allowed(member: Member): Prefix[] {
    const { store, settings } = this.#p
    if ((member.roles & ROLE_TT) !== 0) return [settings.plan.servers4, settings.plan.servers6]
    const pairs = [member.pair, ...store.hostsOf(member.node).map((h) => h.pair)]
    return pairs.flatMap((pair) => [host(pair.vip4), host(pair.vip6)])
  }

  /** Whether every address belongs to this box or a host behind it. */
  owns(member: Member, sources: readonly Ip[]): boolean {
    if (sources.length === 0) return true
    const own = this.allowed(member)
    return sources.every((ip) => own.some((p) => sameIp(p.base, ip)))
  }

  /** The pair's contract when it is in force for these sources of `asker`; null when a new one is needed. */
  inForce(asker: NodeId, peer: NodeId, sources: readonly Ip[], lost: Uint8Array): ContractRow | null {
    const row = this.#p.store.contract(asker, peer)
    if (row === null || row.leaseUntil <= this.#p.calendar.today()) return null
    if (same(row.hash, lost)) return null
    const decoded = decodeContract(row.bytes)
    if (!decoded.ok) return null
    const { opener, openerAllowed, acceptorAllowed } = decoded.value
    const allowed = nodeKey(opener) === nodeKey(asker) ? openerAllowed : acceptorAllowed
    return sources.every((ip) => allowed.some((p) => contains(p, ip))) ? row : null
  }

  /** Both ends have it: in force from now on, in place of any earlier one of the pair. */
  enact(initiator: NodeId, correspondent: NodeId, minted: Minted): void {
    const { store, calendar, settings } = this.#p
    const leaseUntil = wallTime(calendar.today() + settings.leaseSeconds * 1000)
    store.putContract({ initiator, correspondent, hash: minted.hash, bytes: minted.bytes, leaseUntil })
  }

  /** A longer lease; written only when it grows by an hour, so that a busy pair costs no disk write per name. */
  prolong(row: ContractRow): void {
    const leaseUntil = wallTime(this.#p.calendar.today() + this.#p.settings.leaseSeconds * 1000)
    if (leaseUntil - row.leaseUntil >= 3_600_000) this.#p.store.putContract({ ...row, leaseUntil })
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
  }

  /** The latest moment at which `node` may have sent a packet to a terminator. */
  lastPacket(node: NodeId, today: WallTime): WallTime {
    const leases = this.#p.store.contractsOf(node).map((c) => Math.min(c.leaseUntil, today))
    return wallTime(Math.max(this.#p.store.member(node)?.pathEnded ?? 0, ...leases))
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

function leaf(member: Member): Uint8Array {
  const [first] = member.chain
  return first ?? new Uint8Array(0)
}
