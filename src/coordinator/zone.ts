import { buildAnswer, CLASS_IN, type DnsMessage, type DnsRecord, parseMessage, RCODE, TYPE } from '#dnsfn/message.ts'
import type { Fingerprint } from '#ntm-lib/addr/ids.ts'
import type { Ip } from '#ntm-lib/addr/ip.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import { nodeIdOf } from '#ntm-lib/crypto/schedule.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import { SERVICE_LABELS } from '#ntm-lib/dns/records.ts'
import type { CoordinatorStore } from '#ntm-lib/ports/coordinator-store.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import { byName, ofHost } from './hosts.ts'
import type { PresenceTable } from './presence.ts'
import type { CoordinatorSettings } from './settings.ts'
import { AnswerLimit } from './zone-limit.ts'
import { glue, nameServerRecords, nodeRecords, serviceRecord, soa } from './zone-records.ts'

export type ZoneParts = {
  readonly store: CoordinatorStore
  readonly suite: CryptoSuite
  readonly presences: PresenceTable
  readonly settings: CoordinatorSettings
  readonly fingerprint: Fingerprint
  readonly coordinatorKey: Uint8Array
  readonly counters: Counters
}

/** What stands at a name: its records, or null when nothing does. A name in between has none. */
type Node = readonly DnsRecord[] | null

/**
 * Authoritative DNS for the coordinator's zone, and nothing else: no recursion, no transfer, no update. Answers are made
 * from the store at the time of asking, so there is no copy to go stale. RFC 1034 §4.3.2 without delegations.
 */
export class Zone {
  readonly #p: ZoneParts
  readonly #limit: AnswerLimit
  /** Every name that has something below or at it, for telling NODATA from NXDOMAIN; of this serial. */
  #names: { readonly serial: number; readonly all: ReadonlySet<string> } | null = null

  constructor(parts: ZoneParts) {
    this.#p = parts
    this.#limit = new AnswerLimit(parts.settings.dns.answersPerSecond)
  }

  /**
   * The answer to one DNS message (over TCP without the length in front); null when it deserves none. Never larger than
   * the asker takes: 512 bytes or its EDNS size, at most 1232, over UDP.
   */
  answer(query: Uint8Array, from: Ip, transport: 'udp' | 'tcp', now: Instant): Uint8Array | null {
    const asked = parseMessage(query)
    // Never answer an answer: two servers would talk to each other for ever.
    if (asked === null || asked.isResponse) return this.#count('malformed', null)
    if (transport === 'udp') {
      const verdict = this.#limit.take(from, now)
      if (verdict === 'drop') return this.#count('limited', null)
      if (verdict === 'slip') return this.#count('slipped', cut(asked, this.#soa()))
    }
    const maxBytes = transport === 'tcp' ? { maxBytes: 65_535 } : {}
    return this.#count('answered', this.#answer(asked, maxBytes))
  }

  #answer(asked: DnsMessage, size: { readonly maxBytes?: number }): Uint8Array {
    const { question } = asked
    if (asked.opcode !== 0) return buildAnswer(asked, { rcode: RCODE.NOTIMP, ...size })
    if (question === null) return buildAnswer(asked, { rcode: RCODE.FORMERR, ...size })
    const { zone } = this.#p.settings
    const inside = question.name === zone || question.name.endsWith(`.${zone}`)
    if (!inside || question.class !== CLASS_IN || NO_DATA_TYPES.has(question.type))
      return buildAnswer(asked, { rcode: RCODE.REFUSED, ...size })
    const node = this.#at(question.name)
    const negative = { authorities: [this.#soa()], authoritative: true, ...size }
    if (node === null) return buildAnswer(asked, { rcode: RCODE.NXDOMAIN, ...negative })
    const answers = matching(node, question.type)
    if (answers.length === 0) return buildAnswer(asked, { rcode: RCODE.NOERROR, ...negative })
    return buildAnswer(asked, { rcode: RCODE.NOERROR, answers, authoritative: true, ...size })
  }

  #at(name: string): Node {
    const { settings, presences, suite } = this.#p
    if (name === settings.zone) return [this.#soa(), ...nameServerRecords(settings)]
    if (settings.nameServers.includes(name)) return glue(name, settings)
    const service = `${SERVICE_LABELS}.`
    if (name.startsWith(service)) {
      const of = name.slice(service.length)
      const own = of === settings.zone ? nodeIdOf(suite, this.#p.coordinatorKey) : null
      const node = own ?? byName(of, this.#p)?.member.node ?? null
      return node === null ? null : [serviceRecord(name, node, this.#p, settings)]
    }
    const named = byName(name, this.#p)
    if (named !== null) return nodeRecords(named, presences.get(named.member.node), settings)
    return this.#exists(name) ? [] : null
  }

  /** RFC 8020: a name above an existing one exists, without data. */
  #exists(name: string): boolean {
    const { store, settings } = this.#p
    const serial = store.number('zone-serial')
    if (this.#names?.serial !== serial) {
      const all = new Set<string>()
      for (const m of store.members()) {
        if (m.revoked) continue
        addWithParents(all, `_udp.${m.name}`, settings.zone)
        for (const h of store.hostsOf(m.node)) addWithParents(all, `_udp.${ofHost(m, h).name}`, settings.zone)
      }
      addWithParents(all, `_udp.${settings.zone}`, settings.zone)
      for (const ns of settings.nameServers) addWithParents(all, ns, settings.zone)
      this.#names = { serial, all }
    }
    return this.#names.all.has(name)
  }

  #soa(): DnsRecord {
    return soa(this.#p.settings, this.#p.store.number('zone-serial'))
  }

  #count<T>(what: string, value: T): T {
    this.#p.counters.count(`coordinator.dns.${what}`)
    return value
  }
}

/** RFC 8482 §4.1: one record set is enough for ANY, so that it amplifies nothing. */
function matching(node: readonly DnsRecord[], type: number): DnsRecord[] {
  const wanted = type === TYPE.ANY ? node[0]?.type : type
  return node.filter((r) => r.type === wanted)
}

/** A truncated answer without records: smaller than any true one, and the asker comes back over TCP. */
function cut(asked: DnsMessage, soaRecord: DnsRecord): Uint8Array {
  const maxBytes = 12 + asked.questionBytes.length + (asked.edns ? OPT_BYTES : 0)
  return buildAnswer(asked, { rcode: RCODE.NOERROR, answers: [soaRecord], authoritative: true, maxBytes })
}

function addWithParents(all: Set<string>, name: string, zone: string): void {
  for (let at = name; at !== zone && at.endsWith(`.${zone}`); at = at.slice(at.indexOf('.') + 1)) all.add(at)
}

/** IXFR, AXFR, MAILB, MAILA: not for sale. */
const NO_DATA_TYPES: ReadonlySet<number> = new Set([251, 252, 253, 254])
const OPT_BYTES = 11
