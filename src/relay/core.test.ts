import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { type Endpoint, endpointText, parseEndpoint, sameEndpoint } from '#ntm-lib/addr/endpoint.ts'
import { pathId } from '#ntm-lib/addr/ids.ts'
import { type Instant, instant } from '#ntm-lib/base/time.ts'
import { checkLeg, signLeg } from '#ntm-lib/crypto/relay-leg.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { encodeHeader } from '#ntm-lib/wire/header.ts'
import type { RelayDirection } from '#ntm-lib/wire/messages/relay.ts'
import { decodeRelayLeg, encodeRelayLeg, type RelayLegDatagram } from '#ntm-lib/wire/relay-leg.ts'
import { RelayMachine } from './machine.ts'
import { RELAY_DEFAULTS, type RelaySettings } from './settings.ts'

const at = (text: string): Endpoint => parseEndpoint(text)!
const ALICE = at('192.0.2.1:4000')
const ALICE_MOVED = at('[2001:db8::1]:4001')
const BOB = at('[2001:db8::b]:5000')
// With the ports of others: an address is both.
const EVE = at('203.0.113.66:4000')
const VICTIM = at('198.51.100.7:5000')
const IDS = [pathId(0xa1), pathId(0xa2), pathId(0xa3), pathId(0xffff_ffff_ffff)] as const
const KEYS = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)] as const
const TAG = new Uint8Array(16)
type Side = 0 | 1
type Sent = { readonly to: Endpoint; readonly bytes: Uint8Array }

const direction = (more: Partial<RelayDirection> = {}): RelayDirection => ({
  kind: 'relay-direction',
  pathIds: IDS,
  openerKey: KEYS[0],
  acceptorKey: KEYS[1],
  kbitPerSecond: 0,
  packetsPerSecond: 0,
  leaseSeconds: 86_400,
  ...more,
})
const bind = (side: Side, seq: number, key = KEYS[side], path = IDS[0]): Uint8Array => {
  const d = encodeRelayLeg({ kind: 'bind', path, direction: side, seq, nonce: new Uint8Array(8).fill(seq), tag: TAG })
  return signLeg(nodeCrypto, key as Uint8Array, d, false)
}
const confirmOf = (challenge: Uint8Array, key: Uint8Array): Uint8Array => {
  const d = decodeRelayLeg(challenge)
  if (!d.ok || d.value.kind !== 'challenge') throw new Error('not a challenge')
  return signLeg(nodeCrypto, key, encodeRelayLeg({ ...d.value, kind: 'confirm', tag: TAG }), false)
}
const packet = (side: Side, bytes: number, mark = 0, id: number = IDS[0]): Uint8Array => {
  const p = new Uint8Array(bytes).fill(mark)
  p.set(encodeHeader({ cls: 4, flags: side << 7, word: 0, id, counter: mark }))
  return p
}
const request = (side: Side, type = 1, id: number = IDS[0]): Uint8Array => {
  const p = new Uint8Array(type === 4 ? 32 : 256).fill(7)
  p.set(encodeHeader({ cls: 3, flags: (side << 7) | type, word: 0, id, counter: 1 }))
  return p
}
const kindOf = (bytes: Uint8Array): string => {
  const d = decodeRelayLeg(bytes)
  return d.ok ? d.value.kind : `class ${(bytes[0] ?? 0) & 15}`
}

class World {
  readonly counters = new CounterMap()
  readonly relay: RelayMachine
  now: Instant = instant(1000)
  readonly toll = new Map<string, { in: number; out: number }>()

  constructor(settings: Partial<RelaySettings> = {}, directed: RelayDirection | null = direction()) {
    this.relay = new RelayMachine({ ...RELAY_DEFAULTS, ...settings }, nodeCrypto, this.counters)
    if (directed !== null) expect(this.relay.direct(directed, this.now)).toBe(null)
  }

  send(from: Endpoint, bytes: Uint8Array): Sent[] {
    this.#count(from).in += bytes.length
    this.relay.handle({ from, bytes }, this.now)
    return this.drain()
  }

  drain(): Sent[] {
    const sent: Sent[] = []
    for (let out = this.relay.poll(); out !== null; out = this.relay.poll()) {
      if (out.out !== 'send') continue
      this.#count(out.to).out += out.bytes.length
      sent.push(out)
    }
    return sent
  }

  bound(side: Side, from: Endpoint, seq = 1): void {
    const [challenge] = this.send(from, bind(side, seq))
    this.send(from, confirmOf(challenge!.bytes, KEYS[side]))
  }

  pass(ms: number): void {
    for (const end = this.now + ms; this.now < end; this.relay.tick(this.now))
      this.now = instant(Math.min(end, this.relay.deadline() ?? end))
  }

  #count(e: Endpoint): { in: number; out: number } {
    const key = endpointText(e)
    const toll = this.toll.get(key) ?? { in: 0, out: 0 }
    this.toll.set(key, toll)
    return toll
  }
}

describe('binding', () => {
  test('a bound pair is forwarded between families, unchanged, by any of the four ids', () => {
    const w = new World()
    w.bound(0, ALICE)
    w.bound(1, BOB)
    for (const id of IDS) {
      const p = packet(0, 1400, 5, id)
      expect(w.send(ALICE, p)).toEqual([{ out: 'send', to: BOB, bytes: p }])
      const back = packet(1, 32, 6, id)
      expect(w.send(BOB, back)).toEqual([{ out: 'send', to: ALICE, bytes: back }])
    }
  })

  test('a Bind costs no round trip: Bind and Tunnel Request pass together, and the answer is within three times', () => {
    const w = new World()
    w.bound(1, BOB)
    expect(w.send(ALICE, bind(0, 1)).map((s) => kindOf(s.bytes))).toEqual(['challenge'])
    expect(w.send(ALICE, request(0)).map((s) => s.to)).toEqual([BOB])
    expect(w.send(BOB, request(1, 2)).map((s) => s.to)).toEqual([ALICE])
    let got = 0
    for (let i = 0; i < 100; i++) got += w.send(BOB, packet(1, 64, i)).filter((s) => sameEndpoint(s.to, ALICE)).length
    expect(got).toBe(Math.floor((3 * (64 + 256) - 48 - 256) / 64))
  })

  test('it tells how many ends are bound, and how many have still to prove where they are', () => {
    const w = new World()
    const { core } = w.relay
    expect(core.legs).toEqual({ bound: 0, pending: 0 })
    w.send(ALICE, bind(0, 1))
    expect(core.legs).toEqual({ bound: 0, pending: 1 })
    w.bound(0, ALICE, 2)
    w.bound(1, BOB)
    expect(core.legs).toEqual({ bound: 2, pending: 0 })
    w.send(ALICE_MOVED, bind(0, 3))
    expect(core.legs).toEqual({ bound: 2, pending: 1 })
    w.relay.release(IDS[0])
    expect(core.legs).toEqual({ bound: 0, pending: 0 })
  })

  test('a Challenge, a Notice and an Echo are what their readers expect', () => {
    const w = new World()
    const [challenge] = w.send(ALICE, bind(0, 7))
    expect(checkLeg(nodeCrypto, KEYS[0], challenge!.bytes, true)).toBe(true)
    const [notice] = w.send(EVE, packet(0, 64, 3))
    const read = decodeRelayLeg(notice!.bytes)
    expect(read).toMatchObject({ ok: true, value: { kind: 'notice', reason: 'unbound', seq: 7, direction: 0 } })
    expect(checkLeg(nodeCrypto, KEYS[0], notice!.bytes, true)).toBe(true)
    expect(read.ok && read.value.kind === 'notice' && read.value.trigger).toEqual(packet(0, 64, 3).subarray(0, 16))
    expect(w.send(EVE, packet(0, 64, 3))).toEqual([])
    const probe: RelayLegDatagram = { kind: 'probe', id: 5, nonce: new Uint8Array(8).fill(9) }
    expect(w.send(EVE, encodeRelayLeg(probe))).toEqual([
      { out: 'send', to: EVE, bytes: encodeRelayLeg({ ...probe, kind: 'echo' }) },
    ])
  })

  test('who moves is sent to at once, as far as three times goes; the old address keeps the rest until the Confirm', () => {
    const w = new World()
    w.bound(0, ALICE)
    w.bound(1, BOB)
    const [challenge] = w.send(ALICE_MOVED, bind(0, 2))
    w.send(ALICE_MOVED, packet(0, 1200))
    const to = Array.from({ length: 6 }, () => w.send(BOB, packet(1, 1000))[0]!.to)
    expect(to.map((e) => sameEndpoint(e, ALICE_MOVED))).toEqual([true, true, true, false, false, false])
    expect(w.send(ALICE, packet(0, 100)).length).toBe(1)
    w.send(ALICE_MOVED, confirmOf(challenge!.bytes, KEYS[0]))
    expect(w.send(BOB, packet(1, 1000))[0]!.to).toEqual(ALICE_MOVED)
    // What was under way from the old address still arrives, but nothing goes there.
    w.pass(1000)
    expect(w.send(ALICE, packet(0, 100)).map((s) => s.to)).toEqual([BOB])
    expect(w.send(BOB, packet(1, 1000))[0]!.to).toEqual(ALICE_MOVED)
    w.pass(3000)
    expect(w.send(ALICE, packet(0, 100)).map((s) => kindOf(s.bytes))).toEqual(['notice'])
  })

  test('a Tunnel Request that came before the Bind follows when the Knocks have made it affordable', () => {
    const w = new World()
    w.bound(0, ALICE)
    expect(w.send(ALICE, request(0))).toEqual([])
    expect(w.send(BOB, bind(1, 1)).map((s) => kindOf(s.bytes))).toEqual(['challenge'])
    expect(w.send(BOB, request(1, 4)).map((s) => s.to)).toEqual([ALICE])
    expect(w.send(BOB, request(1, 4)).map((s) => s.to)).toEqual([ALICE, BOB])
  })

  test('what is early waits for a second: a handshake for its peer, a Bind with its handshake for the direction', () => {
    const w = new World({}, null)
    expect([...w.send(ALICE, bind(0, 1)), ...w.send(ALICE, request(0))]).toEqual([])
    w.pass(900)
    w.relay.direct(direction(), w.now)
    expect(w.drain().map((s) => kindOf(s.bytes))).toEqual(['challenge'])
    w.send(BOB, request(1, 4))
    const [challenge, ...early] = w.send(BOB, bind(1, 1))
    // 256 bytes are more than three times a Bind.
    expect(early).toEqual([])
    expect(w.send(BOB, confirmOf(challenge!.bytes, KEYS[1]))).toEqual([{ out: 'send', to: BOB, bytes: request(0) }])
    const late = new World({}, null)
    late.send(ALICE, bind(0, 1))
    late.pass(1100)
    late.relay.direct(direction(), late.now)
    expect(late.drain()).toEqual([])
  })

  test('legs are forgotten after 60 s without Bind, paths after 600 s, at the end of the lease, and on release', () => {
    const w = new World()
    w.bound(0, ALICE)
    w.bound(1, BOB)
    w.pass(50_000)
    w.send(BOB, bind(1, 2))
    w.pass(12_000)
    expect(w.send(ALICE, packet(0, 100)).map((s) => kindOf(s.bytes))).toEqual(['notice'])
    w.pass(599_000)
    expect(w.relay.core.paths).toBe(0)
    expect(w.relay.deadline()).toBe(null)
    const leased = new World({}, direction({ leaseSeconds: 100 }))
    leased.bound(0, ALICE)
    leased.pass(50_000)
    expect(leased.send(ALICE, bind(0, 2)).map((s) => kindOf(s.bytes))).toEqual(['challenge', 'notice'])
    leased.pass(51_000)
    expect(leased.relay.core.paths).toBe(0)
    const released = new World()
    released.relay.release(IDS[3])
    expect(released.relay.core.paths).toBe(0)
    expect(released.send(ALICE, packet(0, 100))).toEqual([])
  })
})

describe('limits', () => {
  test('a full table refuses, the same ids again do not, and an id of another path is refused', () => {
    const w = new World({ mostPaths: 1 })
    const other = direction({ pathIds: [pathId(1), pathId(2), pathId(3), pathId(4)] })
    expect(w.relay.direct(other, w.now)).toBe('relay-full')
    expect(w.relay.core.loadPercent).toBe(100)
    w.bound(0, ALICE)
    w.bound(1, BOB)
    expect(w.relay.direct(direction(), w.now)).toBe(null)
    expect(w.send(ALICE, packet(0, 100)).length).toBe(1)
    expect(w.relay.direct({ ...other, pathIds: [IDS[0], pathId(2), pathId(3), pathId(4)] }, w.now)).toBe(
      'path-id-in-use',
    )
    expect(w.relay.direct(direction({ openerKey: KEYS[1] }), w.now)).toBe(null)
    expect(w.send(ALICE, packet(0, 100)).map((s) => kindOf(s.bytes))).toEqual(['notice'])
  })

  test.each<[string, Partial<RelaySettings>, Partial<RelayDirection>, number]>([
    ['bytes of a path', {}, { kbitPerSecond: 8000 }, 1_000_000],
    ['packets of a path', {}, { packetsPerSecond: 1000 }, 1_000_000],
    ['bytes in total', { kbitPerSecond: 8000 }, {}, 1_000_000],
    ['packets in total', { packetsPerSecond: 1000 }, {}, 1_000_000],
    ['the stricter one', { pathKbitPerSecond: 8000 }, { kbitPerSecond: 80_000 }, 1_000_000],
  ])('%s are held', (_name, settings, directed, perSecond) => {
    const w = new World(settings, direction(directed))
    w.bound(0, ALICE)
    w.bound(1, BOB)
    let bytes = 0
    for (let ms = 0; ms < 4000; ms++) {
      w.now = instant(w.now + 1)
      for (let i = 0; i < 3; i++)
        for (const s of w.send(ALICE, packet(0, 1000))) if (sameEndpoint(s.to, BOB)) bytes += s.bytes.length
    }
    expect(bytes).toBeGreaterThan(3.9 * perSecond)
    expect(bytes).toBeLessThan(4.3 * perSecond)
  })

  test('echoes are limited', () => {
    const w = new World({ echoesPerSecond: 10 })
    const probe = encodeRelayLeg({ kind: 'probe', id: 5, nonce: new Uint8Array(8) })
    let echoes = 0
    for (let ms = 0; ms < 2000; ms++) {
      w.now = instant(w.now + 1)
      echoes += w.send(EVE, probe).length
    }
    expect(echoes).toBeGreaterThanOrEqual(29)
    expect(echoes).toBeLessThanOrEqual(31)
  })
})

describe('attack 8', () => {
  test('a sniffed Path ID from a third address: nothing forwarded, no more bytes back than sent', () => {
    const w = new World()
    w.bound(0, ALICE)
    w.bound(1, BOB)
    const before = w.toll.get(endpointText(BOB))!.out
    for (let i = 0; i < 50; i++) {
      w.pass(100)
      for (const side of [0, 1] as const)
        for (const id of IDS) {
          w.send(EVE, packet(side, 40 + i, i, id))
          w.send(EVE, request(side, 1, id))
        }
    }
    expect(w.toll.get(endpointText(BOB))!.out).toBe(before)
    expect(w.toll.get(endpointText(EVE))!.out).toBeLessThan(w.toll.get(endpointText(EVE))!.in)
  })

  test('a Bind without key, with the other side’s key, or replayed binds nothing and is not answered', () => {
    const w = new World()
    w.bound(0, ALICE)
    w.bound(1, BOB)
    expect(w.send(EVE, bind(0, 9, new Uint8Array(32)))).toEqual([])
    expect(w.send(EVE, bind(0, 9, KEYS[1]))).toEqual([])
    expect(w.send(EVE, bind(0, 1))).toEqual([])
    expect(w.send(BOB, packet(1, 100))[0]!.to).toEqual(ALICE)
    expect(w.counters.get('relay.drop.bad-tag')).toBe(2)
    expect(w.counters.get('relay.drop.bind-replayed')).toBe(1)
  })

  test('a Confirm from elsewhere than its Challenge went proves nothing', () => {
    const w = new World()
    w.bound(1, BOB)
    const [challenge] = w.send(VICTIM, bind(0, 1))
    expect(challenge!.to).toEqual(VICTIM)
    expect(w.send(EVE, confirmOf(challenge!.bytes, KEYS[0]))).toEqual([])
    expect(w.counters.get('relay.drop.confirm-forged')).toBe(1)
    let got = 0
    for (let i = 0; i < 100; i++)
      for (const s of w.send(BOB, packet(1, 100))) got += sameEndpoint(s.to, VICTIM) ? 100 : 0
    expect(got + 48).toBeLessThanOrEqual(3 * 64)
  })
})

test('what is noticed to an unproven address is part of what it may get', () => {
  const w = new World()
  w.send(VICTIM, bind(0, 1))
  expect(w.send(VICTIM, packet(0, 64)).map((s) => kindOf(s.bytes))).toEqual(['notice'])
  w.bound(1, BOB)
  for (let i = 0; i < 100; i++) w.send(BOB, packet(1, 32))
  const toll = w.toll.get(endpointText(VICTIM))!
  expect(toll.out).toBeLessThanOrEqual(3 * toll.in)
  expect(toll.out).toBeGreaterThan(3 * toll.in - 32)
})

/** What may happen to a relay: honest ends that lose and duplicate, and a liar who has seen everything and can send from anywhere. */
const step = fc.record({
  act: fc.constantFrom('bind', 'confirm', 'packet', 'request', 'replay', 'forge', 'pass', 'probe', 'direct'),
  side: fc.constantFrom<Side>(0, 1),
  from: fc.constantFrom(ALICE, ALICE_MOVED, BOB, EVE, VICTIM),
  n: fc.nat(1200),
})

test('whatever comes: only from bound or pending to the other leg, never more than three times to who has not confirmed', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const w = new World()
      // Only ALICE, ALICE_MOVED (side 0) and BOB (side 1) hold keys and read what they get; VICTIM and EVE never confirm.
      const seen: Uint8Array[] = []
      const challenges = new Map<string, Uint8Array>()
      const seqs: [number, number] = [0, 0]
      const mayForward: [Set<string>, Set<string>] = [new Set(), new Set()]
      const confirmed = new Set<string>()
      const honest = (side: Side, from: Endpoint): boolean =>
        side === 1 ? from === BOB : from === ALICE || from === ALICE_MOVED
      const check = (from: Endpoint, bytes: Uint8Array): void => {
        seen.push(bytes)
        for (const s of w.send(from, bytes)) {
          if (kindOf(s.bytes) === 'challenge') challenges.set(endpointText(s.to), s.bytes)
          if (((s.bytes[0] ?? 0) & 15) > 4) expect(s.to, 'answers go back').toEqual(from)
          else {
            const side = ((s.bytes[1] ?? 0) >> 7) as Side
            expect(mayForward[side ^ 1]?.has(endpointText(s.to)), 'to the other leg').toBe(true)
          }
        }
        for (const [who, toll] of w.toll) if (!confirmed.has(who)) expect(toll.out).toBeLessThanOrEqual(3 * toll.in)
      }
      for (const { act, side, from, n } of steps) {
        if (act === 'bind' && honest(side, from)) {
          seqs[side]++
          mayForward[side].add(endpointText(from))
          check(from, bind(side, seqs[side]))
        } else if (act === 'bind' && from === VICTIM) {
          // A fresh Bind that the liar caught on the way and sends from the victim's address.
          seqs[side]++
          mayForward[side].add(endpointText(VICTIM))
          check(VICTIM, bind(side, seqs[side]))
        } else if (act === 'confirm' && honest(side, from) && challenges.has(endpointText(from))) {
          confirmed.add(endpointText(from))
          check(from, confirmOf(challenges.get(endpointText(from))!, KEYS[side]))
        } else if (act === 'packet') {
          const known = mayForward[side].has(endpointText(from))
          const before = w.counters.get('relay.drop.unbound')
          check(from, packet(side, 32 + n, n & 255, IDS[n & 3]))
          if (!known) expect(w.counters.get('relay.drop.unbound')).toBe(before + 1)
        } else if (act === 'request') check(from, request(side, 1 + (n & 3)))
        else if (act === 'replay' && seen.length > 0) check(from, seen[n % seen.length]!)
        else if (act === 'forge') check(from, bind(side, n + 1000, new Uint8Array(32)))
        else if (act === 'pass') w.pass(n * 10)
        else if (act === 'probe') check(from, encodeRelayLeg({ kind: 'probe', id: n + 1, nonce: new Uint8Array(8) }))
        else if (act === 'direct') w.relay.direct(direction(), w.now)
      }
    }),
    { numRuns: 400 },
  )
})
