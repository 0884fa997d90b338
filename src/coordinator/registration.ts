import { endpointText } from '#ntm-lib/addr/endpoint.ts'
import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import type { ControlPeer } from '#ntm-lib/negotiate/control-events.ts'
import type { CoordinatorStore, HostRow, Member } from '#ntm-lib/ports/coordinator-store.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { Calendar, Random } from '#ntm-lib/ports/machine.ts'
import { ROLE_BRIDGE, ROLE_NODE, ROLE_RELAY, ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import type { HostClaim, HostGrant } from '#ntm-lib/wire/messages/common.ts'
import type { Refusal } from '#ntm-lib/wire/messages/refusal.ts'
import type {
  LocationConfirm,
  LocationConfirmResponse,
  Registration,
  RegistrationResponse,
} from '#ntm-lib/wire/messages/registration.ts'
import type { RelayOffer } from '#ntm-lib/wire/messages/relay.ts'
import { membershipEnd } from './contracts.ts'
import { behindNat, usableCandidates } from './locate.ts'
import { hostVip6, nextNodeVip4 } from './node-addresses.ts'
import type { OtherZones } from './other-zones.ts'
import { limited, type PresenceTable } from './presence.ts'
import { refusal } from './refuse.ts'
import { relayOffers } from './relay-choice.ts'
import type { Sessions } from './sessions.ts'
import type { CoordinatorKeys, CoordinatorSettings } from './settings.ts'

export type RegistrarParts = {
  readonly store: CoordinatorStore
  readonly suite: CryptoSuite
  readonly calendar: Calendar
  readonly random: Random
  readonly log: Log
  readonly counters: Counters
  readonly settings: CoordinatorSettings
  readonly keys: Pick<CoordinatorKeys, 'chain'>
  readonly presences: PresenceTable
  readonly sessions: Pick<Sessions, 'peer'>
  readonly zones: Pick<OtherZones, 'zones'>
  /** A node came up with another boot id: what it held in memory is gone. */
  readonly restarted: (peer: ControlPeer, now: Instant) => void
  /** A node proved that it is elsewhere. */
  readonly moved: (node: NodeId, now: Instant) => void
}

/** Registration and NTM Update: who is where, and the virtual addresses everybody keeps. SEED 003 §3.2, SEED 002 §3. */
export class Registrar {
  readonly #p: RegistrarParts

  constructor(parts: RegistrarParts) {
    this.#p = parts
  }

  /** Answers a Registration or NTM Update. The observed address does not count before its echo. */
  register(peer: ControlPeer, message: Registration, now: Instant): RegistrationResponse | Refusal {
    const member = this.#p.store.member(peer.node)
    const refused = this.#fault(member, message)
    if (refused !== null || member === null) {
      const no = refused ?? refusal('forbidden', 'not a member: enrol first')
      this.#p.counters.count(`coordinator.register.${no.code}`)
      this.#p.log.warn('register.refused', { node: nodeKey(peer.node), code: no.code, why: no.text })
      return no
    }
    const grants = this.#grants(member, message.hosts)
    if (grants === null) return refusal('pool-exhausted', 'no virtual address left for hosts')
    this.#place(peer, member, message, grants, now)
    const echoNonce = this.#p.random.bytes(8)
    this.#p.presences.expectEcho(peer.node, echoNonce, peer.endpoint, now)
    return this.#answer(peer, member, message, grants, echoNonce)
  }

  /** The echo came back: from now on the address it was sent to is where the node is. */
  confirm(peer: ControlPeer, message: LocationConfirm, now: Instant): LocationConfirmResponse | Refusal {
    const changed = this.#p.presences.confirm(peer.node, message.echoNonce, peer.endpoint, now)
    if (changed === null) {
      this.#p.counters.count('coordinator.location.bad-echo')
      return refusal('bad-address', 'no such echo awaited from this address')
    }
    if (changed !== 'same') {
      const at = endpointText(peer.endpoint)
      this.#p.counters.count('coordinator.location.confirmed')
      this.#p.log.debug('location.confirmed', { node: nodeKey(peer.node), at })
    }
    if (changed === 'moved') this.#p.moved(peer.node, now)
    return { kind: 'location-confirm-response' }
  }

  #fault(member: Member | null, message: Registration): Refusal | null {
    if (member === null) return null
    if (member.revoked) return refusal('revoked', 'this box was revoked')
    if (message.versionMin > VERSION || message.versionMax < VERSION) return refusal('version', 'this network speaks 1')
    if (message.name !== '' && message.name.toLowerCase() !== member.name)
      return refusal('forbidden', `this box is ${member.name}`)
    const expired = membershipEnd(member) * 1000 <= this.#p.calendar.today()
    return expired ? refusal('expired', 'renew the membership first') : null
  }

  #place(peer: ControlPeer, member: Member, message: Registration, hosts: readonly HostGrant[], now: Instant): void {
    const { presences, settings } = this.#p
    const before = presences.get(peer.node)
    if (presences.startedAnew(peer.node, message.bootId)) this.#p.restarted(peer, now)
    const of = {
      node: peer.node,
      roles: member.roles,
      bootId: message.bootId,
      locationVersion: message.locationVersion,
      candidates: limited(usableCandidates(message.candidates, settings.plan)),
      expires: membershipEnd(member),
      loadPercent: message.loadPercent,
      relays: message.relays.slice(0, MAX_READINGS),
      hosts: new Set(hosts.map((h) => hex(h.host))),
    }
    presences.put(of, peer.endpoint)
    if (before === null) {
      const nat = behindNat(of.candidates, peer.endpoint)
      this.#p.log.info('node.registered', { node: nodeKey(peer.node), name: member.name, nat })
    }
  }

  #answer(
    peer: ControlPeer,
    member: Member,
    message: Registration,
    hosts: readonly HostGrant[],
    echoNonce: Uint8Array,
  ): RegistrationResponse {
    const { settings, keys } = this.#p
    const { nodes4, servers4, nodes6, servers6 } = settings.plan
    const nat = behindNat(usableCandidates(message.candidates, settings.plan), peer.endpoint)
    return {
      kind: message.kind === 'registration' ? 'registration-response' : 'ntm-update-response',
      observed: peer.endpoint,
      echoNonce,
      ...member.pair,
      hosts,
      virtual: [nodes4, servers4, nodes6, servers6],
      zones: [settings.zone, ...this.#p.zones.zones].slice(0, 64),
      descriptors: keys.chain,
      relays: this.#offers(member),
      keepAliveSeconds: keepAliveOf(settings, member.roles, nat),
      leaseSeconds: settings.leaseSeconds,
    }
  }

  /** Relays are measured by those who may need one. */
  #offers(member: Member): RelayOffer[] {
    if ((member.roles & (ROLE_NODE | ROLE_BRIDGE)) === 0) return []
    const { presences, sessions, calendar } = this.#p
    return relayOffers(
      presences.all().filter((p) => sessions.peer(p.node) !== null),
      calendar.today(),
    )
  }

  /** A pair for each host, the same for ever; null when the network has no address left. */
  #grants(member: Member, claims: readonly HostClaim[]): HostGrant[] | null {
    if (claims.length === 0) return []
    if ((member.roles & ROLE_BRIDGE) === 0) {
      this.#p.counters.count('coordinator.hosts.not-a-bridge')
      return []
    }
    const { store } = this.#p
    const known = new Map(store.hostsOf(member.node).map((h) => [h.host.join(), h]))
    const grants: HostGrant[] = []
    const full = store.transaction(() => {
      for (const claim of claims) {
        const row = known.get(claim.host.join()) ?? this.#newHost(member, claim, known.size)
        if (row === 'full') return true
        if (row === 'limit') continue
        if (known.get(claim.host.join()) !== row || row.name !== claim.name) this.#write({ ...row, name: claim.name })
        known.set(claim.host.join(), row)
        grants.push({ host: claim.host, ...row.pair })
      }
      return false
    })
    return full ? null : grants
  }

  #newHost(member: Member, { host, name }: HostClaim, count: number): HostRow | 'full' | 'limit' {
    const { store, suite, settings } = this.#p
    if (count >= settings.hostsPerNode) {
      this.#p.counters.count('coordinator.hosts.over-limit')
      return 'limit'
    }
    const vip4 = nextNodeVip4(store, settings)
    if (vip4 === null) return 'full'
    const pair = { vip4, vip6: hostVip6(settings.plan.nodes6, suite, member.node, host) }
    return { node: member.node, host, name, pair }
  }

  /** A host's name is one of the zone. */
  #write(row: HostRow): void {
    const { store } = this.#p
    store.putHost(row)
    store.putNumber('zone-serial', store.number('zone-serial') + 1)
  }
}

/** How long a box may be silent; also the time in which it notices a restart of the coordinator. */
function keepAliveOf(s: CoordinatorSettings, roles: number, nat: boolean): number {
  if ((roles & (ROLE_TT | ROLE_RELAY)) !== 0) return s.keepAliveTerminatorSeconds
  return nat ? s.keepAliveNatSeconds : s.keepAliveSeconds
}

const VERSION = 1
/** Of as many relays as are offered. */
const MAX_READINGS = 16
