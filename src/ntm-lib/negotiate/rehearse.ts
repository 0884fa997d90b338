import type { Endpoint } from '../addr/endpoint.ts'
import { idFromRandom, type PathId, pathId } from '../addr/ids.ts'
import { ip4FromWord } from '../addr/ip4.ts'
import { host } from '../addr/prefix.ts'
import { invariant } from '../base/invariant.ts'
import { type Instant, instant, type WallTime } from '../base/time.ts'
import { type Identity, identityOf, makeRoot, makeRootMembership, type Root } from '../crypto/identity.ts'
import type { CryptoSuite } from '../crypto/suite.ts'
import * as ip4 from '../packet/ip4.ts'
import { CounterMap } from '../ports/counters.ts'
import { quiet } from '../ports/log.ts'
import { isCapsulated } from '../wire/capsulated.ts'
import { ROLE_NODE } from '../wire/certificate.ts'
import { decodeMessage, encodeMessage } from '../wire/codec.ts'
import { encodeContract } from '../wire/contract.ts'
import type { DirectionResponse, Route } from '../wire/messages/direction.ts'
import { Tunnels } from './tunnels.ts'

/**
 * Opens a few tunnels between two imaginary nodes in memory, with keys that are thrown away. A program that has just
 * started runs its first handshake several times slower than the later ones; the first host should not wait for that.
 * Returns how many packets came through: 2 for each time.
 */
export function rehearse(suite: CryptoSuite, today: WallTime, times: number): number {
  const root = makeRoot(suite)
  const [one, other] = [member(suite, root, today, 'one'), member(suite, root, today, 'other')]
  let arrived = 0
  for (let i = 0; i < times; i++) arrived += once(suite, root, today, one, other)
  return arrived
}

function once(suite: CryptoSuite, root: Root, today: WallTime, one: Identity, other: Identity): number {
  const now = instant(0)
  const ends = [tunnelsOf(suite, root, today, one), tunnelsOf(suite, root, today, other)] as const
  const [opener, acceptor] = routes(suite, root, one, other)
  const hash = suite.hash(opener.contract)
  const accepted = ends[1].install(acceptor, {}, now)
  const opened = ends[0].install(overTheWire(opener, hash), {}, now)
  invariant(accepted.ok && opened.ok, 'a rehearsed route is a good one')
  exchange(ends, now)
  let arrived = 0
  for (const [i, from] of ends.entries()) {
    const path = from.byContract(hash)
    const to = ends[1 - i]
    if (path === null || to === undefined) continue
    const memory = packet(i === 0 ? ONE : OTHER, i === 0 ? OTHER : ONE)
    from.seal(
      path,
      memory,
      32,
      PACKET_BYTES,
      (_, bytes) => {
        if (to.open(PLACES[i] as Endpoint, bytes.slice(), now) !== null) arrived++
      },
      now,
    )
  }
  return arrived
}

/** Delivers what the two say to each other until both are silent. */
function exchange(ends: readonly [Tunnels, Tunnels], now: Instant): void {
  for (let quietRounds = 0; quietRounds < 2; ) {
    quietRounds++
    for (const [i, from] of ends.entries()) {
      for (let out = from.poll(); out !== null; out = from.poll()) {
        if (out.out !== 'send') continue
        quietRounds = 0
        const view = new DataView(out.bytes.buffer, out.bytes.byteOffset, out.bytes.byteLength)
        const to = ends[1 - i] as Tunnels
        const at = PLACES[i] as Endpoint
        if (isCapsulated(view, 0, out.bytes.length)) to.open(at, out.bytes, now)
        else to.handle(at, out.bytes, now)
      }
    }
  }
}

function overTheWire(route: Route, contractHash: Uint8Array): Route {
  const response: DirectionResponse = { kind: 'direction-response', contractHash, route, moved: null, target: null }
  const { code, response: isResponse, refusal, body } = encodeMessage(response)
  const read = decodeMessage(code, isResponse, refusal, body)
  invariant(read.ok && read.value.kind === 'direction-response' && read.value.route !== null, 'our own words read back')
  return read.value.route
}

function routes(suite: CryptoSuite, root: Root, one: Identity, other: Identity): readonly [Route, Route] {
  const id = (): PathId => pathId(idFromRandom(suite.random(6)))
  const contract = encodeContract({
    pathIds: [id(), id(), id(), id()],
    fingerprint: root.fingerprint,
    opener: one.nodeId,
    acceptor: other.nodeId,
    openerMembership: suite.hash(one.chain[0] ?? NOTHING),
    acceptorMembership: suite.hash(other.chain[0] ?? NOTHING),
    openerAllowed: [host(ONE)],
    acceptorAllowed: [host(OTHER)],
    suiteMask: 0b111,
    leaseSeconds: 60,
    version: 1,
  })
  const shared = {
    contract,
    pathSecret: suite.random(32),
    peerLocationVersion: 1,
    way: 'direct' as const,
    optimise: 'seed' as const,
    relay: null,
  }
  const at = (i: number) => [{ type: 'local' as const, endpoint: PLACES[i] as Endpoint, priority: 1 }]
  return [
    { ...shared, peerChain: other.chain, peerCandidates: at(1), youAre: 'opener' },
    { ...shared, peerChain: one.chain, peerCandidates: at(0), youAre: 'acceptor' },
  ]
}

function member(suite: CryptoSuite, root: Root, today: WallTime, name: string): Identity {
  const pair = suite.x25519Pair()
  const second = Math.floor(today / 1000)
  const wish = {
    staticKey: pair.public,
    roles: ROLE_NODE,
    name: `${name}.rehearsal`,
    issued: second - 60,
    expires: second + 60,
  }
  return identityOf(suite, pair, makeRootMembership(suite, root, wish))
}

function tunnelsOf(suite: CryptoSuite, root: Root, today: WallTime, identity: Identity): Tunnels {
  return new Tunnels({
    suite,
    identity,
    trust: { rootPublicKey: root.public, now: () => today, floor: () => today, revoked: () => false },
    random: { bytes: (count) => suite.random(count) },
    log: quiet,
    counters: new CounterMap(),
    bootId: suite.random(8),
    revocationVersion: () => 0,
    settings: { innerMtuBytes: 1500, underlayMtuBytes: 1500, suites: [0, 1, 2], resetSecret: suite.random(32) },
  })
}

function packet(from: typeof ONE, to: typeof ONE): { readonly arena: Uint8Array; readonly view: DataView } {
  const arena = new Uint8Array(32 + PACKET_BYTES + 32)
  const view = new DataView(arena.buffer)
  ip4.write(view, 32, {
    tos: 0,
    totalLength: PACKET_BYTES,
    id: 0,
    fragmentWord: 0,
    ttl: 64,
    protocol: 17,
    source: from,
    destination: to,
  })
  return { arena, view }
}

const ONE = ip4FromWord(0xc612_0001)
const OTHER = ip4FromWord(0xc612_0002)
const PLACES: readonly Endpoint[] = [
  { ip: ip4FromWord(0xc000_0201), port: 4330 },
  { ip: ip4FromWord(0xc000_0202), port: 4330 },
]
const PACKET_BYTES = 100
const NOTHING = new Uint8Array(0)
