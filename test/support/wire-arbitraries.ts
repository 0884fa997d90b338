import fc from 'fast-check'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { fingerprint, nodeId, pathId } from '#ntm-lib/addr/ids.ts'
import { type Ip, ipBytes, isIp4 } from '#ntm-lib/addr/ip.ts'
import { ip4FromBytes, ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import { ip6FromBytes } from '#ntm-lib/addr/ip6.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import type { NtmRecord, NtmService } from '#ntm-lib/dns/records.ts'
import type { Certificate } from '#ntm-lib/wire/certificate.ts'
import type { Contract } from '#ntm-lib/wire/contract.ts'
import type { Envelope } from '#ntm-lib/wire/envelope.ts'
import type { Frame } from '#ntm-lib/wire/frames.ts'
import type { Header, HeaderClass } from '#ntm-lib/wire/header.ts'
import type { Message } from '#ntm-lib/wire/message.ts'
import type { Candidate, Target } from '#ntm-lib/wire/messages/common.ts'
import type { Route } from '#ntm-lib/wire/messages/direction.ts'
import type { RelayLegDatagram } from '#ntm-lib/wire/relay-leg.ts'

/** Any value of each thing that crosses the wire, for properties. */
export const bytes = (n: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: n, maxLength: n })
export const upTo = (n: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength: n })
export const uint = (bits: number): fc.Arbitrary<number> => {
  const max = Math.min(2 ** bits - 1, Number.MAX_SAFE_INTEGER)
  return fc.oneof({ weight: 4, arbitrary: fc.maxSafeNat().map((n) => n % (max + 1)) }, fc.constantFrom(0, 1, max))
}
const positive = (bits: number): fc.Arbitrary<number> => uint(bits).map((n) => Math.max(1, n))
/** Well-formed text of at most `max` bytes of UTF-8. */
export const text = (max: number): fc.Arbitrary<string> =>
  fc.string({ unit: 'grapheme', maxLength: Math.min(20, max >> 2) }).filter((s) => Buffer.byteLength(s) <= max)

export const ip4 = uint(32).map(ip4FromWord)
export const ip6 = bytes(16).map((b) => ip6FromBytes(b))
export const ip: fc.Arbitrary<Ip> = fc.oneof(ip4, ip6)
export const endpoint: fc.Arbitrary<Endpoint> = fc.record({ ip, port: positive(16) })
export const prefix: fc.Arbitrary<Prefix> = fc.tuple(ip, uint(7), fc.boolean()).map(([base, n, whole]) => {
  const most = isIp4(base) ? 32 : 128
  const bits = whole ? most : n % (most + 1)
  const cut = ipBytes(base).map((b, i) => b & ~(0xff >> Math.min(8, Math.max(0, bits - 8 * i))))
  return { base: isIp4(base) ? ip4FromBytes(cut) : ip6FromBytes(cut), bits }
})
const node = bytes(16).map(nodeId)
const print = bytes(16).map(fingerprint)
const path = positive(48).map(pathId)

const listed = <T>(item: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(item, { maxLength: 4 })
const candidate: fc.Arbitrary<Candidate> = fc.record({
  type: fc.constantFrom('local', 'mapped', 'relay'),
  endpoint,
  priority: uint(32),
})
const target: fc.Arbitrary<Target> = fc.record({
  name: text(255),
  vip4: ip4,
  vip6: ip6,
  ttlSeconds: uint(32),
  families: uint(2),
})
const chain = listed(upTo(300))
const fourIds = fc.uniqueArray(path, { minLength: 4, maxLength: 4 }).map((ids) => ids as unknown as Contract['pathIds'])
const maybe = <T>(item: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(item)
const relayLeg = fc.record({ relay: node, endpoints: listed(endpoint), key: bytes(32), leaseSeconds: uint(32) })
const wayFields = {
  peerCandidates: listed(candidate),
  peerLocationVersion: uint(32),
  way: fc.constantFrom('direct' as const, 'relay' as const),
  optimise: fc.constantFrom('seed' as const, 'ice' as const),
  relay: maybe(relayLeg),
}
const route: fc.Arbitrary<Route> = fc.record({
  contract: upTo(400),
  pathSecret: bytes(32),
  peerChain: chain,
  youAre: fc.constantFrom('opener', 'acceptor'),
  ...wayFields,
})

const sought = fc.oneof(
  fc.record({ by: fc.constant('name'), name: text(255) }),
  fc.record({ by: fc.constant('vip'), vip: ip }),
  fc.record({ by: fc.constant('node'), node }),
  fc.record({ by: fc.constant('peer'), name: text(255) }),
)
const why = fc.constantFrom('dns' as const, 'data' as const, 'moved' as const, 'reset' as const, 'renew' as const)
const foreignEnd = fc.record({
  chain,
  pairs: fc.array(fc.record({ vip4: ip4, vip6: ip6 }), { minLength: 1, maxLength: 4 }),
  candidates: listed(candidate),
  observed: endpoint,
  confirmed4: maybe(endpoint),
  confirmed6: maybe(endpoint),
  locationVersion: uint(32),
  changes: uint(8),
  relays: listed(fc.record({ relay: node, rttMillis: uint(16) })),
})

export const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({
    kind: fc.constantFrom('registration', 'ntm-update'),
    name: text(255),
    bootId: bytes(8),
    locationVersion: uint(32),
    versionMin: uint(8),
    versionMax: uint(8),
    features: uint(16),
    mtuBytes: uint(16),
    candidates: listed(candidate),
    hosts: listed(fc.record({ host: bytes(8), name: text(63) })),
    revocationVersion: uint(64),
    loadPercent: fc.integer({ min: 0, max: 100 }),
    relays: listed(fc.record({ relay: node, rttMillis: uint(16) })),
  }),
  fc.record({
    kind: fc.constantFrom('registration-response', 'ntm-update-response'),
    observed: endpoint,
    echoNonce: bytes(8),
    vip4: ip4,
    vip6: ip6,
    hosts: listed(fc.record({ host: bytes(8), vip4: ip4, vip6: ip6 })),
    virtual: listed(prefix),
    zones: listed(text(255)),
    descriptors: chain,
    relays: listed(fc.record({ relay: node, endpoints: listed(endpoint) })),
    keepAliveSeconds: uint(16),
    leaseSeconds: uint(32),
  }),
  fc.record({ kind: fc.constant('location-confirm'), echoNonce: bytes(8) }),
  fc.record({
    kind: fc.constant('direction-request'),
    sought,
    why,
    sources: listed(ip),
    lost: bytes(32),
  }),
  fc.record({ kind: fc.constant('coordinator-hello'), chain, endpoints: listed(endpoint) }),
  fc.record({
    kind: fc.constant('foreign-direction'),
    sought,
    why,
    sources: listed(ip),
    lost: bytes(32),
    initiator: foreignEnd,
  }),
  fc.record({ kind: fc.constant('foreign-moved'), contractHash: bytes(32), end: foreignEnd }),
  fc.record({ kind: fc.constant('route-direction'), route, target: maybe(target) }),
  fc.record({ kind: fc.constant('path-accept'), ttlSeconds: uint(32), families: uint(2) }),
  fc.record({
    kind: fc.constant('direction-response'),
    contractHash: bytes(32),
    route: maybe(route),
    moved: maybe(fc.record(wayFields)),
    target: maybe(target),
  }),
  fc.record({ kind: fc.constant('peer-moved'), contractHash: bytes(32), whereabouts: fc.record(wayFields) }),
  fc.record({
    kind: fc.constant('relay-direction'),
    pathIds: fourIds,
    openerKey: bytes(32),
    acceptorKey: bytes(32),
    kbitPerSecond: uint(32),
    packetsPerSecond: uint(32),
    leaseSeconds: uint(32),
  }),
  fc.record({
    kind: fc.constant('relay-accept'),
    endpoints: listed(endpoint),
    loadPercent: fc.integer({ min: 0, max: 100 }),
  }),
  fc.record({ kind: fc.constant('relay-release'), pathId: fourIds.map(([id]) => id) }),
  fc.record({
    kind: fc.constant('path-extend'),
    contractHash: bytes(32),
    target: maybe(target),
    leaseSeconds: uint(32),
  }),
  fc.record({
    kind: fc.constant('path-close'),
    contractHash: bytes(32),
    reason: fc.constantFrom('expired', 'revoked', 'replaced', 'unused', 'lost'),
  }),
  fc.record({
    kind: fc.constantFrom(
      'path-close-response',
      'location-confirm-response',
      'peer-moved-response',
      'relay-release-response',
      'foreign-moved-response',
    ),
  }),
  fc.record({ kind: fc.constantFrom('cert-renew', 'cert-renew-response', 'coordinator-hello-response'), chain }),
  fc.record({
    kind: fc.constant('refusal'),
    code: fc.constantFrom('unknown-name', 'busy', 'unsupported', 'resolver-down', 'version'),
    retryAfterMillis: uint(32),
    text: text(120),
  }),
)

export const envelope: fc.Arbitrary<Envelope> = fc
  .record({
    code: uint(8),
    response: fc.boolean(),
    refusal: fc.boolean(),
    boot: uint(32),
    number: uint(32),
    part: fc.nat(7),
    parts: fc.integer({ min: 1, max: 8 }),
    body: upTo(120),
  })
  .map((e) => ({ ...e, refusal: e.refusal && e.response, part: e.part % e.parts }))

const leg = { path, direction: fc.constantFrom(0 as const, 1 as const), seq: positive(48), tag: bytes(16) }
const probe = { id: positive(48), nonce: bytes(8) }
export const relayLegDatagram: fc.Arbitrary<RelayLegDatagram> = fc.oneof(
  fc.record({ kind: fc.constant('bind'), ...leg, nonce: bytes(8) }),
  fc.record({ kind: fc.constantFrom('challenge', 'confirm'), ...leg, cookie: bytes(16) }),
  fc.record({
    kind: fc.constant('notice'),
    ...leg,
    seq: uint(48),
    reason: fc.constantFrom('unbound', 'limit', 'expiring', 'peer-unbound'),
    trigger: bytes(16),
  }),
  fc.record({ kind: fc.constantFrom('probe', 'echo'), ...probe }),
)

export const contract: fc.Arbitrary<Contract> = fc.record({
  pathIds: fourIds,
  fingerprint: print,
  opener: node,
  acceptor: node,
  openerMembership: bytes(32),
  acceptorMembership: bytes(32),
  openerAllowed: listed(prefix),
  acceptorAllowed: listed(prefix),
  suiteMask: uint(16),
  leaseSeconds: uint(32),
  version: uint(8),
})

export const certificate: fc.Arbitrary<Certificate> = fc.record({
  kind: fc.constantFrom('issuer', 'grant', 'membership', 'cross-zone', 'revocations', 'descriptor'),
  roles: uint(16),
  serial: uint(64),
  issued: uint(64),
  expires: uint(64),
  signer: bytes(8),
  subject: bytes(32),
  fingerprint: print,
  supersedes: bytes(16),
  name: text(80),
  prefixes: listed(prefix),
  groups: listed(uint(32)),
  hosted: listed(fc.record({ name: text(40), vip4: ip4, vip6: ip6, groups: listed(uint(32)) })),
  tail: upTo(40),
})

const u = fc.constantFrom(0, 0x80)
/** Headers that keep every rule of their class. */
export const header: fc.Arbitrary<Header> = fc.oneof(
  fc.tuple(fc.constantFrom(1, 4), uint(16), positive(48)).map(([f, word, c]) => head(1, f, word, 0, c)),
  fc.tuple(fc.constantFrom(2, 3, 5), uint(16), positive(48), uint(48)).map(([f, w, id, c]) => head(1, f, w, id, c)),
  fc.tuple(u, positive(48), uint(48)).map(([f, id, c]) => head(2, f, 0, id, c)),
  fc
    .tuple(u, fc.integer({ min: 1, max: 4 }), uint(16), positive(48), positive(48))
    .map(([f, t, w, id, c]) => head(3, f | t, w, id, c)),
  fc
    .tuple(uint(4), fc.integer({ min: 0, max: 2 }), uint(16), positive(48), uint(48))
    .map(([f, frag, w, id, c]) => head(4, (f << 4) | (frag << 2), w, id, c)),
  fc.tuple(u, fc.integer({ min: 1, max: 6 }), positive(48), uint(48)).map(([f, t, id, c]) => head(5, f | t, 0, id, c)),
  fc.tuple(fc.constantFrom(1, 2), positive(48)).map(([f, id]) => head(6, f, 0, id, 0)),
)
export const headerOf = (cls: HeaderClass, type: number): fc.Arbitrary<Header> =>
  header.filter((h) => h.cls === cls && (h.flags & 0x7f) === type)

export const frame: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({ kind: fc.constant('pad'), zeros: fc.nat(40) }),
  fc.record({ kind: fc.constantFrom('ready', 'rekey-please') }),
  fc.record({ kind: fc.constantFrom('ping', 'pong'), nonce: bytes(8) }),
  fc.record({ kind: fc.constant('challenge'), nonce: bytes(8) }),
  fc.record({ kind: fc.constant('response'), nonce: bytes(8), observed: endpoint }),
  fc.record({ kind: fc.constant('mtu-probe'), mtuBytes: uint(16), zeros: fc.nat(60) }),
  fc.record({ kind: fc.constant('mtu-ack'), mtuBytes: uint(16) }),
  fc.record({ kind: fc.constant('check'), nonce: bytes(8), use: fc.boolean(), zeros: fc.nat(60) }),
  fc.record({ kind: fc.constant('checked'), nonce: bytes(8), observed: endpoint }),
  fc.record({ kind: fc.constant('close'), reason: fc.constantFrom('expired', 'revoked', 'lost') }),
)

export const ntmRecord = <A extends Ip>(address: fc.Arbitrary<A>): fc.Arbitrary<NtmRecord<A & Ip>> =>
  fc.record({
    preferences: uint(16),
    node,
    vip: address,
    coordinator: address,
    port: positive(16),
    published: maybe(fc.record({ mappedPort: uint(16), locationVersion: uint(32), real: address, outside: address })),
  })

const label = fc.stringMatching(/^[a-z0-9_-]{1,12}$/)
export const hostName = fc.array(label, { maxLength: 5 }).map((labels) => labels.join('.'))
export const ntmService: fc.Arbitrary<NtmService> = fc.record({
  priority: positive(16),
  target: hostName,
  port: positive(16),
  hints4: listed(ip4),
  hints6: listed(ip6),
  node,
  fingerprint: print,
  coordinatorKey: maybe(bytes(32)),
})

const head = (cls: HeaderClass, flags: number, word: number, id: number, counter: number): Header => {
  return { cls, flags, word, id, counter }
}
export const fingerprintBytes = print
