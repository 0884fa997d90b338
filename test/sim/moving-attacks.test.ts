import { describe, expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { endpointText, sameEndpoint } from '#ntm-lib/addr/endpoint.ts'
import { sameIp } from '#ntm-lib/addr/ip.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import { type Instant, millis, seconds } from '#ntm-lib/base/time.ts'
import { nodeIdOf } from '#ntm-lib/crypto/schedule.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import type { Path } from '#ntm-lib/negotiate/tunnels.ts'
import { decodeSignedCertificate } from '#ntm-lib/wire/certificate.ts'
import { endpointOf } from '#test/support/route.ts'
import type { BoxActor } from './actors.ts'
import type { Fleet, FleetWish } from './fleet.ts'
import type { Passing } from './internet.ts'
import { EVERY, finish, Ground, type Pair } from './moves.ts'
import { placeOf } from './places.ts'
import { carriesPacket, wayBetween } from './sight.ts'
import { storm } from './weather.ts'

const EVE = endpointOf('192.0.2.66:6666')
const RELAY = endpointOf('198.51.100.51:4330')
const LONG = { timeout: 60_000 }
const WAYS = ['direct', 'relay'] as const

/** A pair whose packets take this way and keep to it. */
function started(way: 'direct' | 'relay', wish: FleetWish = {}): { ground: Ground; pair: Pair } {
  const ground = new Ground({ settings: { optimise: 'seed' }, ...wish })
  const { net } = ground.fleet
  const pair = ground.pair(
    placeOf(net, 'symmetric', 61),
    way === 'direct' ? ground.spot('G') : placeOf(net, 'symmetric', 62),
  )
  expect(wayBetween(ground.fleet, pair.mover, pair.peer), net.mermaid()).toBe(way)
  return { ground, pair }
}

describe.each(WAYS)('over a %s path', (way) => {
  test(
    'attack 2: everything ever captured, replayed from another address before and after a move, changes nothing',
    LONG,
    () => {
      const { ground, pair } = started(way)
      const { fleet } = ground
      const { net } = fleet
      for (let round = 0; round < 2; round++) {
        const before = picture(fleet, pair)
        const all = net.captured.filter((p) => p.sender !== 'eve')
        const from = net.captured.length
        for (const p of all) net.inject(EVE, p.to, p.bytes)
        net.wait(seconds(2))
        expect(picture(fleet, pair)).toEqual(before)
        // To the address they came from goes nothing but what is smaller than what came.
        const got = net.captured.slice(from).filter((p) => sameEndpoint(p.to, EVE))
        const [sent, back] = [bytesOf(all), bytesOf(got)]
        expect(back, `${endpointText(EVE)} got ${back} for ${sent}`).toBeLessThan(sent)
        expect(got.filter((p) => carriesPacket(p))).toEqual([])
        // The second round is after a move, with everything from before it.
        net.plug('mover', 'eth0', placeOf(net, 'symmetric', 63 + round))
        net.wait(seconds(6))
      }
      const lost = pair.down.lostBefore(net.now - 500)
      net.wait(seconds(2))
      finish(pair)
      expect(pair.down.lost.length).toBe(lost)
    },
  )

  test(
    'attack 4: forged requests on a sniffed Path ID cost no DH at either end and no packet, also in the relay’s name',
    LONG,
    () => {
      const dhs = { count: 0 }
      const { ground, pair } = started(way)
      const { net } = ground.fleet
      counting(pair.peer, dhs)
      counting(pair.mover, dhs)
      net.wait(seconds(1))
      net.capturing = false
      const last = net.captured.filter((p) => p.sender === 'mover' && carriesPacket(p)).at(-1) as Passing
      const spoofed = [EVE, last.from]
      const lost = pair.down.lostBefore(net.now - 500) + pair.up.lostBefore(net.now - 500)
      dhs.count = 0
      for (let i = 0; i < 20; i++) {
        for (let j = 0; j < 1000; j++) {
          const forged = new Uint8Array(256)
          forged.set([0x13, j & 1 ? 0x81 : 0x01, 0, 2 + (j % 3)])
          forged.set(last.bytes.subarray(4, 10), 4)
          forged.set(nodeCrypto.hash(Uint8Array.of(i, j >> 8, j & 255)), 40)
          forged[15] = j & 255
          net.inject(spoofed[j % 2] ?? EVE, last.to, forged)
        }
        net.wait(millis(50))
      }
      net.wait(seconds(1))
      finish(pair)
      expect(dhs.count).toBe(0)
      expect(pair.down.lost.length + pair.up.lost.length).toBe(lost)
      expect(pair.mover.tunnels.size).toBe(1)
    },
  )

  test(
    'attack 5: requests that cross at every interleaving, with 30 % loss and a move meanwhile, end in one epoch within 3 s',
    LONG,
    () => {
      for (let seed = 1; seed <= 8; seed++) {
        const { ground, pair } = started(way, { seed })
        const { net } = ground.fleet
        const there = pair.peer.tunnels.byContract(pair.path.contractHash)
        if (there === null) throw new Error('the peer has no path')
        const before = [pair.path.epochs.cur?.epoch, there.epochs.cur?.epoch]
        const weather = storm(seed, { loss: 0.3, reorder: 0.3 })
        // A datagram through the relay is lost once or not at all: 30 % are lost between the ends.
        const { ip } = RELAY
        net.weather = (f) => (sameIp(f.from.ip, ip) ? [millis(0)] : weather(f).map((d) => millis(d - 20)))
        const rekey = (path: Path, delay: number): void =>
          net.in(millis(delay), (now) => {
            path.rekeyAt = now
          })
        rekey(pair.path, 0)
        rekey(there, (seed - 1) * 5)
        if (seed % 2 === 0) net.in(millis(10), () => net.plug('mover', 'eth0', placeOf(net, 'symmetric', 70 + seed)))
        // The clocks of paths are looked at with the next event.
        pair.mover.tick(net.now)
        pair.peer.tick(net.now)
        const agreed = (): boolean => {
          const [a, b] = [pair.path.epochs, there.epochs]
          return (
            a.cur !== null &&
            a.cur.epoch === b.cur?.epoch &&
            a.cur.epoch !== before[0] &&
            a.next === null &&
            b.next === null
          )
        }
        expect(net.until(agreed, seconds(3)), `seed ${seed}, from ${before}\n${net.mermaid()}`).toBe(true)
        net.weather = () => [millis(0)]
        net.wait(seconds(4))
        expect(wayBetween(ground.fleet, pair.mover, pair.peer), `seed ${seed}`).not.toBe('none')
      }
    },
  )

  test.each(['one way', 'both ways'] as const)(
    'attack 9: somebody on the way who forwards quicker, %s, gets no more than three times what he sent and is left within a round trip after he stops',
    LONG,
    (how) => {
      const { ground, pair } = started(way)
      const { net, relays } = ground.fleet
      // One round trip between the mover and the peer, the way it is.
      const roundTrip = way === 'direct' ? 20 : 40
      const target = (p: Passing): boolean => p.sender === 'mover' && (p.bytes[0] ?? 0) === 0x14
      const heard = [...net.captured].reverse().find((p) => target(p)) as Passing
      net.delay('eve', heard.sites[1], millis(1))
      net.delay('eve', pair.mover.name, millis(1))
      const from = net.captured.length
      const stop = net.fault((p) => {
        if (p.sender === 'eve') return false
        // A copy arrives before the original; the original still comes, too late.
        if (target(p)) net.inject(EVE, p.to, p.bytes)
        if (how === 'both ways' && sameEndpoint(p.to, EVE))
          net.inject(p.sender === 'peer' ? heard.to : p.from, heard.from, p.bytes)
        return false
      })
      net.wait(seconds(2))
      stop()
      const stopped = net.now
      net.wait(seconds(3))
      const toEve = net.captured.slice(from).filter((p) => sameEndpoint(p.to, EVE))
      const fromEve = net.captured.slice(from).filter((p) => p.sender === 'eve')
      expect(fromEve.length).toBeGreaterThan(50)
      expect(bytesOf(toEve)).toBeLessThanOrEqual(3 * bytesOf(fromEve))
      // It is the mover's next packet that says so: at most one beat of its flow later.
      const late = toEve.filter((p) => p.when > stopped + EVERY + roundTrip)
      expect(late.map((p) => p.when - stopped)).toEqual([])
      // And the path is as it was, without him.
      net.wait(seconds(2))
      expect(wayBetween(ground.fleet, pair.mover, pair.peer)).toBe(way)
      expect(pair.down.gapAfter((stopped + roundTrip + 100) as Instant)).toBeLessThanOrEqual(100)
      expect(relays.size).toBe(1)
    },
  )

  test('attack 12: a revoked node gets and gives nothing within 2 s, though it is never told', LONG, () => {
    const { ground, pair } = started(way)
    const { fleet } = ground
    const { net } = fleet
    net.wait(seconds(1))
    // What it does not hear it need not obey: everything from the coordinator to it is lost.
    net.fault((p) => p.sender === 'dc' && p.sites[1] !== 'peer' && !fleet.relays.has(p.sites[1]) && p.sites[1] !== 'tt')
    const revoked = net.now
    revoke(fleet, pair.mover)
    net.wait(seconds(12))
    const until = revoked + 2000
    expect(pair.up.arrivals.filter((a) => a.at > until).length).toBe(0)
    expect(pair.down.arrivals.filter((a) => a.at > until).length).toBe(0)
    expect(pair.up.arrivals.some((a) => a.at < revoked)).toBe(true)
    // A relay passes nothing on for it either.
    const passed = net.captured.filter((p) => fleet.relays.has(p.sender) && p.when > until && carriesPacket(p))
    expect(passed.length).toBe(0)
    // Nobody opens a path with it again.
    const answer = fleet.ask(pair.peer, `${pair.mover.name}.ntm.example`)
    expect(answer).toMatchObject({ ok: false })
  })
  test(
    'attack 12: while the coordinator is down a path lives exactly as long as the memberships of its ends',
    LONG,
    () => {
      // Two minutes; renewal would come from two thirds on, if the coordinator were there.
      const { ground, pair } = started(way, { settings: { optimise: 'seed', membershipDays: 120 / 86_400 } })
      const { fleet } = ground
      fleet.net.fault((p) => p.sender === 'dc' || p.sites[1] === 'dc')
      const ends = [pair.mover, pair.peer].map((box) => {
        const leaf = decodeSignedCertificate(box.disk.chain[0] ?? new Uint8Array(0))
        if (!leaf.ok) throw new Error(leaf.fault)
        return leaf.value.certificate.expires * 1000
      })
      const until = fleet.net.now + (Math.min(...ends) - fleet.today())
      expect(until - fleet.net.now).toBeGreaterThan(60_000)
      fleet.net.wait(millis(until - fleet.net.now + 20_000))
      for (const flow of [pair.up, pair.down]) {
        const last = flow.arrivals.at(-1)?.at ?? 0
        // A lease is told in whole seconds, and counted from when an end heard of it.
        expect(last - until).toBeLessThan(500)
        expect(until - last).toBeLessThan(2500)
      }
      expect(pair.mover.tunnels.size + pair.peer.tunnels.size).toBe(0)
    },
  )
})

test('attack 12: a revoked node gets nothing through a terminator within 2 s', LONG, () => {
  const ground = new Ground({ settings: { optimise: 'seed' } })
  const { fleet } = ground
  const pair = ground.general(ground.spot('P(A)'))
  fleet.net.fault((p) => p.sender === 'dc' && p.sites[1] === 'A')
  const revoked = fleet.net.now
  revoke(fleet, pair.mover)
  fleet.net.wait(seconds(6))
  expect(pair.up.arrivals.filter((a) => a.at > revoked + 2000)).toEqual([])
  expect(pair.down.arrivals.filter((a) => a.at > revoked + 2000)).toEqual([])
})

const bytesOf = (list: readonly Passing[]): number => list.reduce((sum, p) => sum + p.bytes.length, 0)

/** Everything that an attacker should not be able to change, as text to compare. */
function picture(fleet: Fleet, { mover, peer, path }: Pair): string {
  const of = (box: BoxActor): unknown => {
    const p = box.tunnels.byContract(path.contractHash)
    const at = p?.peerEndpoint ?? null
    return [
      box.tunnels.size,
      p?.row,
      p?.state,
      p?.epochs.cur?.epoch,
      p?.epochs.next,
      at === null ? null : endpointText(at),
    ]
  }
  const presences = fleet.dc.core.presences
    .all()
    .map((p) => [hex(p.node), p.locationVersion, JSON.stringify(p.confirmed)])
  return JSON.stringify([of(mover), of(peer), presences, fleet.store.members().map((m) => [m.name, m.revoked])])
}

function revoke(fleet: Fleet, box: BoxActor): void {
  fleet.dc.core.revoke(nodeIdOf(nodeCrypto, box.disk.key.public), fleet.net.now)
}

/** From now on every DH of this box counts. */
function counting(box: BoxActor, into: { count: number }): void {
  const suite = box.suite as { x25519: CryptoSuite['x25519'] }
  const real = suite.x25519
  suite.x25519 = (secret, theirs) => {
    into.count++
    return real(secret, theirs)
  }
}
