import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { contains, type Prefix } from '#ntm-lib/addr/prefix.ts'
import { nodeVip6, type VirtualPair } from '#ntm-lib/addr/virtual.ts'
import { same } from '#ntm-lib/base/bytes.ts'
import { Expiring } from '#ntm-lib/base/expiring.ts'
import { after, type Instant, seconds, wallTime } from '#ntm-lib/base/time.ts'
import { type ProvenChain, verifyChain } from '#ntm-lib/crypto/certificate.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import type { CoordinatorStore, Member } from '#ntm-lib/ports/coordinator-store.ts'
import type { Calendar } from '#ntm-lib/ports/machine.ts'
import { ROLE_BRIDGE, ROLE_NODE } from '#ntm-lib/wire/certificate.ts'
import type { ForeignEnd } from '#ntm-lib/wire/messages/federation.ts'
import type { Refusal } from '#ntm-lib/wire/messages/refusal.ts'
import { membershipEnd } from './contracts.ts'
import { usableCandidates } from './locate.ts'
import { limited, type Presence, whereVersion } from './presence.ts'
import { refusal } from './refuse.ts'
import type { CoordinatorKeys, CoordinatorSettings } from './settings.ts'

/** A box of another zone that comes for one of ours: proven by its certificates, placed by its own coordinator's word. */
export type Guest = {
  readonly member: Member
  readonly zone: string
  readonly presence: Presence
  readonly pairs: readonly VirtualPair[]
}

export type GuestsParts = {
  readonly store: CoordinatorStore
  readonly suite: CryptoSuite
  readonly calendar: Calendar
  readonly settings: Pick<CoordinatorSettings, 'plan' | 'slice'>
  readonly keys: Pick<CoordinatorKeys, 'rootKey'>
}

/**
 * Boxes of other zones as initiators of paths to ours. Their coordinator is believed where they are, and nothing else:
 * who they are and which inner addresses they may use is what the root and their zone's issuer signed.
 */
export class Guests {
  readonly #p: GuestsParts
  readonly #guests = new Expiring<string, Guest>(MAX_GUESTS)

  constructor(parts: GuestsParts) {
    this.#p = parts
  }

  get(node: NodeId): Guest | null {
    return this.#guests.get(nodeKey(node)) ?? null
  }

  byName(name: string): Guest | null {
    for (const [, guest] of this.#guests.entries()) if (guest.member.name === name) return guest
    return null
  }

  /** Takes what the coordinator of `zone` says of a box. `late`: it may be older than what is known. */
  take(end: ForeignEnd, zone: string, late: boolean, now: Instant): Guest | Refusal {
    const proven = this.#proven(end)
    if (proven === null) return refusal('forbidden', 'certificates that prove nothing')
    const { leaf, nodeId } = proven
    if (!leaf.name.endsWith(`.${zone}`)) return refusal('forbidden', `not a box of ${zone}`)
    if (leaf.roles === 0 || (leaf.roles & ~(ROLE_NODE | ROLE_BRIDGE)) !== 0)
      return refusal('forbidden', 'not a box with hosts or applications')
    if (this.#p.store.member(nodeId) !== null) return refusal('forbidden', 'a member of this zone')
    const [pair] = end.pairs
    if (pair === undefined || !this.#mayUse(nodeId, proven, end.pairs))
      return refusal('bad-address', 'inner addresses that are not of this box')
    const guest = this.#guest(proven, pair, zone, end)
    const before = this.get(nodeId)
    const older = before !== null && late && whereVersion(guest.presence) < whereVersion(before.presence)
    const kept = older ? { ...guest, presence: before.presence } : guest
    this.#guests.set(nodeKey(nodeId), kept, after(now, KEPT))
    return kept
  }

  tick(now: Instant): void {
    this.#guests.sweep(now)
  }

  deadline(): Instant | null {
    return this.#guests.deadline()
  }

  #proven({ chain }: ForeignEnd): ProvenChain | null {
    const { suite, calendar, keys } = this.#p
    const now = calendar.today()
    const verdict = verifyChain({
      ...{ suite, chain, rootPublicKey: keys.rootKey },
      ...{ now, floor: now, revoked: () => false },
    })
    return verdict.ok ? verdict.value : null
  }

  /** Within its certificates, never what this coordinator gives out itself, and its own pair follows from its Node ID. */
  #mayUse(node: NodeId, { certificates }: ProvenChain, pairs: readonly VirtualPair[]): boolean {
    const { plan, slice } = this.#p.settings
    const own = slice?.own ?? plan.nodes4
    const ours = (p: VirtualPair): boolean =>
      contains(own, p.vip4) && slice?.given.some((given) => contains(given, p.vip4)) !== true
    const within = (p: VirtualPair, prefixes: readonly Prefix[]): boolean =>
      prefixes.length === 0 || [p.vip4, p.vip6].every((ip) => prefixes.some((q) => contains(q, ip)))
    const first = pairs[0]
    if (first === undefined || !same(first.vip6, nodeVip6(plan.nodes6, node))) return false
    return pairs.every(
      (p) =>
        contains(plan.nodes4, p.vip4) &&
        contains(plan.nodes6, p.vip6) &&
        !ours(p) &&
        certificates.every((c) => within(p, c.prefixes)) &&
        !this.#takenByOther(node, p),
    )
  }

  #takenByOther(node: NodeId, { vip4, vip6 }: VirtualPair): boolean {
    const { store } = this.#p
    if (store.memberByVip(vip6) !== null || store.hostByVip(vip6) !== null) return true
    for (const [key, guest] of this.#guests.entries())
      if (key !== nodeKey(node) && guest.pairs.some((p) => p.vip4 === vip4)) return true
    return false
  }

  #guest({ leaf, nodeId }: ProvenChain, pair: VirtualPair, zone: string, end: ForeignEnd): Guest {
    const { subject: staticKey, roles, name } = leaf
    const { chain, pairs, observed, confirmed4, confirmed6, locationVersion, changes, relays } = end
    const who = { node: nodeId, staticKey, name, roles, chain, pair }
    const member: Member = { ...who, revoked: false, pathEnded: wallTime(0) }
    const usable = limited(usableCandidates(end.candidates, this.#p.settings.plan))
    const presence: Presence = {
      ...{ node: nodeId, roles, bootId: NO_BOOT, locationVersion, changes, observed, relays },
      ...{ candidates: usable, expires: membershipEnd(member), loadPercent: 0, hosts: new Set<string>() },
      confirmed: {
        4: confirmed4 !== null && typeof confirmed4.ip === 'number' ? confirmed4 : null,
        6: confirmed6 !== null && typeof confirmed6.ip !== 'number' ? confirmed6 : null,
      },
    }
    return { member, zone, presence, pairs }
  }
}

const MAX_GUESTS = 4096
/** As long as a contract may last; every direction and move starts it anew. */
const KEPT = seconds(86_400)
const NO_BOOT = new Uint8Array(8)
