import { type Ip, isIp4 } from '#ntm-lib/addr/ip.ts'
import { type Ip4, ip4Bytes, ip4FromBytes } from '#ntm-lib/addr/ip4.ts'
import { type Ip6, ip6FromBytes } from '#ntm-lib/addr/ip6.ts'
import { concat } from '#ntm-lib/base/bytes.ts'
import { invariant } from '#ntm-lib/base/invariant.ts'
import { readName, writeName } from './wire-name.ts'

/** Resource record types by number. IANA "DNS Parameters"; 65280/65281 are our private NTMv4/NTMv6. */
export const TYPE = {
  A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, MX: 15, TXT: 16, AAAA: 28, SRV: 33, DNAME: 39, OPT: 41, SVCB: 64, HTTPS: 65,
  ANY: 255, NTM4: 65280, NTM6: 65281,
} as const // biome-ignore format: a table
export const CLASS_IN = 1
/** Response codes. RFC 1035 §4.1.1, RFC 2136 §2.2. */
export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const

export type DnsQuestion = {
  /** Lower case, without the trailing dot; '' is the root. Odd bytes are `\DDD`. */
  readonly name: string
  readonly type: number
  readonly class: number
}

/**
 * `data` by type: A → Ip4, AAAA → Ip6, CNAME/PTR/DNAME → the name as text; everything else (and an address of the wrong
 * length) → the bytes, in which the names of NS, SOA, MX and SRV are already decompressed.
 */
export type DnsRecord = {
  readonly name: string
  readonly type: number
  readonly class: number
  readonly ttl: number
  readonly data: Ip4 | string | Uint8Array
}

export type DnsMessage = {
  readonly id: number
  readonly isResponse: boolean
  readonly opcode: number
  /** With the upper bits of EDNS, so 0–4095. */
  readonly rcode: number
  readonly authoritative: boolean
  readonly truncated: boolean
  readonly recursionDesired: boolean
  readonly recursionAvailable: boolean
  readonly authenticData: boolean
  readonly checkingDisabled: boolean
  /** Whether the message carries an OPT record. */
  readonly edns: boolean
  /** EDNS DO bit. RFC 3225. */
  readonly dnssecOk: boolean
  /** UDP payload the sender can take: 512 without EDNS. RFC 6891 §6.2.3. */
  readonly udpSize: number
  readonly question: DnsQuestion | null
  /** The question as it came, for echoing; empty without one. */
  readonly questionBytes: Uint8Array
  readonly answers: readonly DnsRecord[]
  readonly authorities: readonly DnsRecord[]
  /** Without the OPT record. */
  readonly additionals: readonly DnsRecord[]
}

/** A query to send. With `edns`, an OPT record announcing `udpSize`. */
export type QuerySpec = {
  readonly id: number
  readonly name: string
  readonly type: number
  readonly recursionDesired: boolean
  readonly edns?: { readonly udpSize: number; readonly dnssecOk?: boolean }
}

export type AnswerSpec = {
  readonly rcode: number
  readonly answers?: readonly DnsRecord[]
  readonly authorities?: readonly DnsRecord[]
  readonly additionals?: readonly DnsRecord[]
  readonly authoritative?: boolean
  readonly recursionAvailable?: boolean
  /** Upper bound for the answer; default what the asker takes over UDP, at most 1232. TCP: 65535. */
  readonly maxBytes?: number
}

const EMPTY = new Uint8Array(0)
/** More records than this are nobody's honest answer; the bound keeps hostile messages cheap. */
const MAX_RECORDS = 1024
/** What we send and announce: fits every IPv6 link without fragments (DNS flag day 2020). */
export const EDNS_BYTES = 1232

/**
 * Reads a DNS message; null for anything cut, looping or otherwise malformed, and for more than one question (RFC 9619).
 * Bytes after the last record are ignored. The result owns its bytes.
 */
export function parseMessage(from: Uint8Array): DnsMessage | null {
  if (from.length < 12) return null
  // `slice` of a plain array copies; of a Node Buffer it would not.
  const bytes = new Uint8Array(from.buffer, from.byteOffset, from.length)
  const flags = u16(bytes, 2)
  const counts = [u16(bytes, 6), u16(bytes, 8), u16(bytes, 10)]
  const questions = u16(bytes, 4)
  if (questions > 1 || counts.reduce((a, b) => a + b, 0) > MAX_RECORDS) return null
  let at = 12
  let question: DnsQuestion | null = null
  if (questions === 1) {
    const name = readName(bytes, 12, false)
    if (name === null || name.next + 4 > bytes.length) return null
    question = { name: name.text, type: u16(bytes, name.next), class: u16(bytes, name.next + 2) }
    at = name.next + 4
  }
  const questionBytes = bytes.slice(12, at)
  const sections: DnsRecord[][] = [[], [], []]
  let opt: DnsRecord | null = null
  for (const [s, count] of counts.entries()) {
    for (let i = 0; i < count; i++) {
      const read = readRecord(bytes, at)
      if (read === null) return null
      at = read.next
      if (read.record.type === TYPE.OPT && s === 2) opt ??= read.record
      else sections[s]?.push(read.record)
    }
  }
  const [answers = [], authorities = [], additionals = []] = sections
  return {
    id: u16(bytes, 0),
    isResponse: (flags & 0x8000) !== 0,
    opcode: (flags >> 11) & 15,
    rcode: (flags & 15) | (opt === null ? 0 : (opt.ttl >>> 24) << 4),
    authoritative: (flags & 0x0400) !== 0,
    truncated: (flags & 0x0200) !== 0,
    recursionDesired: (flags & 0x0100) !== 0,
    recursionAvailable: (flags & 0x0080) !== 0,
    authenticData: (flags & 0x0020) !== 0,
    checkingDisabled: (flags & 0x0010) !== 0,
    edns: opt !== null,
    dnssecOk: opt !== null && (opt.ttl & 0x8000) !== 0,
    udpSize: opt === null ? 512 : Math.max(512, opt.class),
    question,
    questionBytes,
    answers,
    authorities,
    additionals,
  }
}

/** The address in an A or AAAA record; null for every other record. */
export function addressOf(r: DnsRecord): Ip | null {
  if (r.type === TYPE.A && typeof r.data === 'number') return r.data
  return r.type === TYPE.AAAA && r.data instanceof Uint8Array && r.data.length === 16 ? (r.data as Ip6) : null
}

/** An A or AAAA record for `ip`. `ttl` in seconds. */
export const addressRecord = (name: string, ip: Ip, ttl: number): DnsRecord =>
  ({ name, type: isIp4(ip) ? TYPE.A : TYPE.AAAA, class: CLASS_IN, ttl, data: ip }) satisfies DnsRecord

/** Encodes a query. Null when `name` is not a domain name. */
export function buildQuery(q: QuerySpec): Uint8Array | null {
  const name = writeName(q.name)
  if (name === null) return null
  const question = concat(name, words(q.type, CLASS_IN))
  const opt = q.edns === undefined ? EMPTY : optRecord(q.edns.udpSize, q.edns.dnssecOk === true, 0)
  return concat(words(q.id, q.recursionDesired ? 0x0100 : 0, 1, 0, 0, opt.length > 0 ? 1 : 0), question, opt)
}

/**
 * Answers `query`: same id, opcode, RD, CD and question bytes (so a 0x20-cased name comes back as it was). Records that do
 * not fit are left out, whole, and TC is set when they were answers or authorities.
 */
export function buildAnswer(query: DnsMessage, a: AnswerSpec): Uint8Array {
  const limit = a.maxBytes ?? Math.min(EDNS_BYTES, query.udpSize)
  const opt = query.edns ? optRecord(EDNS_BYTES, query.dnssecOk, a.rcode >> 4) : EMPTY
  let room = limit - 12 - query.questionBytes.length - opt.length
  let truncated = false
  const counts = [0, 0, 0]
  const parts: Uint8Array[] = []
  for (const [s, records] of [a.answers ?? [], a.authorities ?? [], a.additionals ?? []].entries()) {
    for (const record of truncated ? [] : records) {
      const bytes = writeRecord(record, query.question)
      if (bytes.length > room) {
        truncated = s < 2
        break
      }
      room -= bytes.length
      parts.push(bytes)
      counts[s] = (counts[s] ?? 0) + 1
    }
  }
  const flags =
    0x8000 | (query.opcode << 11) | (a.authoritative === true ? 0x0400 : 0) | (truncated ? 0x0200 : 0) |
    (query.recursionDesired ? 0x0100 : 0) | (a.recursionAvailable === true ? 0x0080 : 0) |
    (query.checkingDisabled ? 0x0010 : 0) | (a.rcode & 15) // biome-ignore format: one flag word
  const [an = 0, ns = 0, ar = 0] = counts
  const head = words(query.id, flags, query.question === null ? 0 : 1, an, ns, ar + (opt.length > 0 ? 1 : 0))
  return concat(head, query.questionBytes, ...parts, opt)
}

/** Where names sit in the data of types that may be compressed (RFC 3597 §4) or were in practice (SRV). */
const NAMES_IN: Readonly<Record<number, readonly [before: number, names: number]>> = {
  [TYPE.NS]: [0, 1],
  [TYPE.SOA]: [0, 2],
  [TYPE.MX]: [2, 1],
  [TYPE.SRV]: [6, 1],
}

function readRecord(bytes: Uint8Array, at: number): { record: DnsRecord; next: number } | null {
  const name = readName(bytes, at, true)
  if (name === null || name.next + 10 > bytes.length) return null
  const from = name.next + 10
  const next = from + u16(bytes, name.next + 8)
  if (next > bytes.length) return null
  const type = u16(bytes, name.next)
  const data = readData(bytes, type, from, next)
  if (data === null) return null
  const ttl = u16(bytes, name.next + 4) * 65536 + u16(bytes, name.next + 6)
  return { record: { name: name.text, type, class: u16(bytes, name.next + 2), ttl, data }, next }
}

function readData(bytes: Uint8Array, type: number, from: number, to: number): DnsRecord['data'] | null {
  if (type === TYPE.A && to - from === 4) return ip4FromBytes(bytes, from)
  if (type === TYPE.AAAA && to - from === 16) return ip6FromBytes(bytes, from)
  // RFC 2136 uses empty data of any type.
  if (from === to) return EMPTY
  const cut = bytes.subarray(0, to)
  if (type === TYPE.CNAME || type === TYPE.PTR || type === TYPE.DNAME) {
    const name = readName(cut, from, true)
    return name === null || name.next !== to ? null : name.text
  }
  const layout = NAMES_IN[type]
  if (layout === undefined) return bytes.slice(from, to)
  const parts = [bytes.subarray(from, Math.min(to, from + layout[0]))]
  let at = from + layout[0]
  for (let i = 0; i < layout[1]; i++) {
    const name = at < to ? readName(cut, at, true) : null
    const wire = name === null ? null : writeName(name.text)
    if (name === null || wire === null) return null
    parts.push(wire)
    at = name.next
  }
  return concat(...parts, bytes.subarray(at, to))
}

function writeRecord(r: DnsRecord, question: DnsQuestion | null): Uint8Array {
  // The question's name always sits at 12, so the commonest owner costs two bytes and keeps the asker's spelling.
  const owner = question !== null && r.name === question.name && r.name !== '' ? words(0xc00c) : writeName(r.name)
  const body = typeof r.data === 'number' ? ip4Bytes(r.data) : typeof r.data === 'string' ? writeName(r.data) : r.data
  invariant(owner !== null && body !== null, 'a record of ours has a name that is none')
  return concat(owner, words(r.type, r.class, Math.floor(r.ttl / 65536), r.ttl % 65536, body.length), body)
}

const optRecord = (udpSize: number, dnssecOk: boolean, extendedRcode: number): Uint8Array =>
  concat(Uint8Array.of(0), words(TYPE.OPT, udpSize, (extendedRcode & 0xff) << 8, dnssecOk ? 0x8000 : 0, 0))

const u16 = (b: Uint8Array, at: number): number => ((b[at] ?? 0) << 8) | (b[at + 1] ?? 0)
const words = (...values: readonly number[]): Uint8Array =>
  Uint8Array.from(values.flatMap((v) => [(v >>> 8) & 0xff, v & 0xff]))
