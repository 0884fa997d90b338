import type { Fingerprint, NodeId } from '../addr/ids.ts'
import type { Ip4 } from '../addr/ip4.ts'
import type { Ip6 } from '../addr/ip6.ts'
import { type Decoded, ok, refuse } from '../base/decoded.ts'
import { invariant } from '../base/invariant.ts'
import { fingerprintField, ip4, ip6, nodeIdField } from '../wire/address-field.ts'
import {
  type AnyFields,
  type Field,
  type Fields,
  fixed,
  readFields,
  u8,
  u16,
  u32,
  where,
  writeFields,
} from '../wire/field.ts'
import { Reader } from '../wire/reader.ts'
import { Writer } from '../wire/writer.ts'
import { decodeSvcb, encodeSvcb, KEY_IPV4HINT, KEY_IPV6HINT, KEY_MANDATORY, KEY_PORT, type SvcParam } from './svcb.ts'

/** Private DNS types (RFC 6895 §3.1) for what the seeds call the NTMobile record. SEED 003 §3.1. */
export const TYPE_NTMV4 = 65280
export const TYPE_NTMV6 = 65281
/** Owner of the service record is this label pair in front of the node's name. */
export const SERVICE_LABELS = '_ntm._udp'
/** SvcParamKeys from the private range (RFC 9460 §14.3.2). */
export const KEY_NODE_ID = 65280
export const KEY_FINGERPRINT = 65281
export const KEY_COORDINATOR = 65282

/** Everything a correspondent needs to know to ask for a path to this node. */
export type NtmRecord<Address extends Ip4 | Ip6> = {
  /** Reserved for the node's preferences; 0 in this version. */
  readonly preferences: number
  readonly node: NodeId
  readonly vip: Address
  /** The node's coordinator. */
  readonly coordinator: Address
  /** UDP port of the coordinator. */
  readonly port: number
  /** Where the node is, as the seeds publish it; null unless the zone has `publish = "seed"`. */
  readonly published: Published<Address> | null
}

export type Published<Address extends Ip4 | Ip6> = {
  /** The NAT's port towards the node, 0 without a NAT. */
  readonly mappedPort: number
  readonly locationVersion: number
  readonly real: Address
  /** The NAT's outside address; all zero without a NAT. */
  readonly outside: Address
}

/** `_ntm._udp.<name>`: one query for everything. Service mode, RFC 9460 §2.4.3. */
export type NtmService = {
  /** 1–65535; lower is better. */
  readonly priority: number
  /** Host name without trailing dot; '' = the owner name itself. */
  readonly target: string
  /** UDP port, not 0. */
  readonly port: number
  readonly hints4: readonly Ip4[]
  readonly hints6: readonly Ip6[]
  readonly node: NodeId
  readonly fingerprint: Fingerprint
  /** The coordinator's static public key, 32 bytes; it proves nothing by itself. Null: another zone cannot call it. */
  readonly coordinatorKey: Uint8Array | null
}

export const encodeNtmv4 = (record: NtmRecord<Ip4>): Uint8Array => encodeRecord(ip4, record)
export const decodeNtmv4 = (rdata: Uint8Array): Decoded<NtmRecord<Ip4>> => decodeRecord(ip4, rdata)
export const encodeNtmv6 = (record: NtmRecord<Ip6>): Uint8Array => encodeRecord(ip6, record)
export const decodeNtmv6 = (rdata: Uint8Array): Decoded<NtmRecord<Ip6>> => decodeRecord(ip6, rdata)

/** Record data of an SVCB record. */
export function encodeNtmService(s: NtmService): Uint8Array {
  invariant(s.priority !== 0, 'priority 0 is alias mode')
  const params: SvcParam[] = [{ key: KEY_PORT, value: written(port, s.port) }]
  if (s.hints4.length > 0) params.push({ key: KEY_IPV4HINT, value: written(ip4, ...s.hints4) })
  if (s.hints6.length > 0) params.push({ key: KEY_IPV6HINT, value: written(ip6, ...s.hints6) })
  params.push({ key: KEY_NODE_ID, value: written(nodeIdField, s.node) })
  params.push({ key: KEY_FINGERPRINT, value: written(fingerprintField, s.fingerprint) })
  if (s.coordinatorKey !== null) params.push({ key: KEY_COORDINATOR, value: written(staticKey, s.coordinatorKey) })
  return encodeSvcb({ priority: s.priority, target: s.target, params })
}

/** Total. Parameters we do not know are passed over; a record without port, Node ID or fingerprint is not ours. */
export function decodeNtmService(rdata: Uint8Array): Decoded<NtmService> {
  const svcb = decodeSvcb(rdata)
  if (!svcb.ok) return svcb
  const { priority, target, params } = svcb.value
  const value = (key: number): Reader => new Reader(params.find((p) => p.key === key)?.value ?? new Uint8Array(0))
  const [ports, nodes, prints] = [value(KEY_PORT), value(KEY_NODE_ID), value(KEY_FINGERPRINT)]
  const [hints4, hints6] = [readAll(ip4, value(KEY_IPV4HINT)), readAll(ip6, value(KEY_IPV6HINT))]
  const found = { port: port.read(ports), node: nodeIdField.read(nodes), fingerprint: fingerprintField.read(prints) }
  const whole = [ports, nodes, prints].every((r) => r.fault === null && r.left === 0)
  // RFC 9460 §8: a mandatory key we do not understand makes the record useless; §7.3: an empty hint is malformed.
  const mandatory = readAll(u16, value(KEY_MANDATORY))?.every((key) => KNOWN_KEYS.has(key)) ?? false
  const coordinator = params.find((p) => p.key === KEY_COORDINATOR)?.value ?? null
  const shortKey = coordinator !== null && coordinator.length !== 32
  const emptyHint = params.some((p) => (p.key === KEY_IPV4HINT || p.key === KEY_IPV6HINT) && p.value.length === 0)
  if (priority === 0 || !whole || !mandatory || emptyHint || shortKey || hints4 === null || hints6 === null)
    return refuse('bad-value')
  return ok({ priority, target, ...found, hints4, hints6, coordinatorKey: coordinator?.slice() ?? null })
}

const OURS = [KEY_NODE_ID, KEY_FINGERPRINT, KEY_COORDINATOR]
const KNOWN_KEYS: ReadonlySet<number> = new Set([KEY_PORT, KEY_IPV4HINT, KEY_IPV6HINT, ...OURS])
const staticKey = fixed<Uint8Array>(32)
const SEED_BIT = 1
const RECORD_VERSION = 1
const port = where(u16, 'not 0', (v) => v !== 0)

type Head<A> = Omit<NtmRecord<Ip4>, 'vip' | 'coordinator' | 'published'> & {
  readonly version: number
  readonly flags: number
  readonly vip: A
  readonly coordinator: A
  readonly mappedPort: number
  readonly locationVersion: number
}

type Places<A extends Ip4 | Ip6> = Pick<Published<A>, 'real' | 'outside'>

/** Record data in wire order; the addresses of `publishedFields` follow when bit 0 of the flags is set. */
export const recordFields = <A extends Ip4 | Ip6>(address: Field<A>): Fields<Head<A>> => ({
  version: u8,
  flags: { ...u8, type: 'bits: 0 published, 7–1 zero' },
  preferences: u16,
  node: nodeIdField,
  vip: address,
  coordinator: address,
  port,
  mappedPort: u16,
  locationVersion: u32,
})

export const publishedFields = <A extends Ip4 | Ip6>(address: Field<A>): Fields<Places<A>> => ({
  real: address,
  outside: address,
})

function encodeRecord<A extends Ip4 | Ip6>(address: Field<A>, record: NtmRecord<A>): Uint8Array {
  const { published } = record
  const w = new Writer()
  writeFields(plain(recordFields(address)), w, {
    ...record,
    version: RECORD_VERSION,
    flags: published === null ? 0 : SEED_BIT,
    mappedPort: published?.mappedPort ?? 0,
    locationVersion: published?.locationVersion ?? 0,
  })
  if (published !== null) writeFields(plain(publishedFields(address)), w, published)
  return w.done()
}

function decodeRecord<A extends Ip4 | Ip6>(address: Field<A>, rdata: Uint8Array): Decoded<NtmRecord<A>> {
  const r = new Reader(rdata)
  const head = readFields(plain(recordFields(address)), r) as Head<A>
  const { version, flags, mappedPort, locationVersion, ...rest } = head
  if (r.fault === null && version !== RECORD_VERSION) return refuse('bad-version')
  if (flags > SEED_BIT) r.refuse('bad-value')
  if (flags === 0 && (mappedPort !== 0 || locationVersion !== 0)) r.refuse('bad-value')
  const places = flags === 0 ? null : (readFields(plain(publishedFields(address)), r) as Places<A>)
  r.end()
  const published = places === null ? null : { mappedPort, locationVersion, ...places }
  return r.fault === null ? ok({ ...rest, published }) : refuse(r.fault)
}

// The address type is generic here, so TypeScript cannot see that each field fits its own property.
const plain = (fields: unknown): AnyFields => fields as AnyFields

function written<T>(field: Field<T>, ...values: readonly T[]): Uint8Array {
  const w = new Writer()
  for (const v of values) field.write(w, v)
  return w.done()
}

/** Null unless the value is whole items. */
function readAll<T>(field: Field<T>, r: Reader): readonly T[] | null {
  const all: T[] = []
  while (r.left > 0 && r.fault === null) all.push(field.read(r))
  return r.fault === null ? all : null
}
