import type { RefusalCode } from '#ntm-lib/wire/messages/refusal.ts'
import type { DnsFlow } from './flow.ts'
import { MAX_TTL } from './known.ts'
import { addressOf, CLASS_IN, type DnsMessage, type DnsQuestion, RCODE, TYPE } from './message.ts'

/** The question of a message that is an ordinary query we may have an opinion on; null means: let it pass. */
export function plainQuestion(m: DnsMessage | null, isResponse: boolean): DnsQuestion | null {
  if (m === null || m.isResponse !== isResponse || m.opcode !== 0 || m.question === null) return null
  return m.question.class === CLASS_IN ? m.question : null
}

/**
 * Whether a query is left alone by rule: without recursion the asker talks to authoritative servers himself, with DO and
 * CD he validates himself, and an answer of ours would be bogus to him (RFC 4035 §4.9.2, RFC 6147 §5.5).
 */
export const leftAlone = (m: DnsMessage): boolean => !m.recursionDesired || (m.dnssecOk && m.checkingDisabled)

/** What a reply says about the addresses of `type` under the name asked. A chain of CNAMEs without an address "lacks" it. */
export function judgeReply(m: DnsMessage, type: number): 'has' | 'lacks' | 'unclear' {
  if (m.answers.some((r) => r.type === type && addressOf(r) !== null)) return 'has'
  return m.rcode === RCODE.NOERROR && !m.truncated ? 'lacks' : 'unclear'
}

/** The other address type of an address question. */
export const otherType = (type: number): number => (type === TYPE.A ? TYPE.AAAA : TYPE.A)
export const isAddressType = (type: number): boolean => type === TYPE.A || type === TYPE.AAAA
/** Types that would tell a browser how to go past the tunnel (address hints). RFC 9460. */
export const isServiceType = (type: number): boolean => type === TYPE.HTTPS || type === TYPE.SVCB

/** Refusals that a second try may turn: the host should ask again instead of believing there is nothing. */
export const TRANSIENT: ReadonlySet<string> = new Set<RefusalCode>([
  'busy',
  'peer-silent',
  'relay-full',
  'crossed',
  'expired',
  'path-id-in-use',
  'resolver-down',
])
/** Not to be remembered against the name. */
export const PASSING: ReadonlySet<string> = new Set<string>([...TRANSIENT, 'unreachable', 'not-registered'])

/** How long a reply's own addresses spare us the question beside it. */
export const plainSeconds = (m: DnsMessage, type: number): number =>
  Math.min(MAX_TTL, ...m.answers.filter((r) => r.type === type).map((r) => r.ttl))

/** Whether a missing address of this type is worth a tunnel to this host. */
export const wants = (type: number, flow: DnsFlow): boolean =>
  flow.tunnelsAll === true
    ? isAddressType(type)
    : (type === TYPE.A && !flow.hasGlobalIp6) || (type === TYPE.AAAA && !flow.hasIp4)
