import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import { be32, concat } from '#ntm-lib/base/bytes.ts'
import { NEGATIVE_TTL } from './known.ts'
import { type AnswerSpec, addressRecord, CLASS_IN, type DnsQuestion, RCODE, TYPE } from './message.ts'
import { isSubdomainOf } from './names.ts'
import { writeName } from './wire-name.ts'

/** The virtual address of the family asked for. `ttl` in seconds. */
export const addressAnswer = (q: DnsQuestion, pair: VirtualPair, ttl: number): AnswerSpec => ({
  rcode: RCODE.NOERROR,
  answers: [addressRecord(q.name, q.type === TYPE.A ? pair.vip4 : pair.vip6, ttl)],
})

/**
 * "No such name" or, with NOERROR, "no such type". Below one of `zones` with the SOA that lets the host remember it for 30 s
 * (RFC 2308 §5); elsewhere without, so that nobody remembers a "no" of ours about another's name.
 */
export function negativeAnswer(rcode: number, name: string, zones: readonly string[]): AnswerSpec {
  const zone = zones.find((z) => isSubdomainOf(name, z))
  const mname = zone === undefined ? null : writeName(zone)
  if (zone === undefined || mname === null) return { rcode }
  const data = concat(mname, mname, be32(1), be32(3600), be32(600), be32(86_400), be32(NEGATIVE_TTL))
  return { rcode, authorities: [{ name: zone, type: TYPE.SOA, class: CLASS_IN, ttl: NEGATIVE_TTL, data }] }
}
