import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { LinkAddr } from '#ntm-lib/addr/link.ts'
import { parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { instant } from '#ntm-lib/base/time.ts'
import { packet4, packet6, tcp, udp, viewOf } from '#ntm-lib/packet/build.ts'
import * as ether from '#ntm-lib/packet/ether.ts'
import { CSUM_MISSING, slotAt, superBatch } from '#ntm-lib/ports/packet-port.ts'
import {
  gateway,
  hostIp,
  hostIp6,
  query,
  server4,
  server6,
  TAG,
  up,
  v4,
  vip4,
  vip6,
  world,
} from '#test/support/bridge-world.ts'
import { VERSION_WORDS } from './follow-words.ts'
import { BridgeFollower } from './follower.ts'
import { ipFrame, newFrameFor } from './frame.ts'
import { FOLLOWED_FOR, Lead } from './lead.ts'

const VIRTUAL = ['198.18.0.0/16', '198.19.0.0/16', 'fd00::/48', 'fd00:0:1:1::/64'].flatMap((p) => parsePrefix(p) ?? [])
const SIZES = { innerBytes: 1400, wholeBytes: 1400, clampBytes: 1400 }
const big = (bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, i) => (i * 31) & 0xff)
type Shape = {
  readonly six: boolean
  readonly tcp: boolean
  readonly syn: boolean
  readonly bytes: number
  readonly gso: number
}
const shape = fc.record({
  six: fc.boolean(),
  tcp: fc.boolean(),
  syn: fc.boolean(),
  bytes: fc.integer({ min: 0, max: 1300 }),
  gso: fc.constantFrom(0, CSUM_MISSING, 500),
})
const MSS_OPTION = [2, 4, 0x05, 0xb4]

/** A packet of the host's, or of the server's to it. */
function packet(s: Shape, inwards = false): Uint8Array {
  const bytes = s.gso === 500 ? s.bytes * 10 : s.bytes
  const segment = tcp(4000, 80, s.syn && s.gso !== 500 ? 0x02 : 0x10, big(bytes))
  // With options, a SYN's is clamped.
  if (s.syn && s.gso !== 500 && bytes > 4) {
    segment[12] = 0x60
    segment.set(MSS_OPTION, 20)
  }
  const payload = s.tcp ? segment : udp(4000, 9, big(bytes))
  const protocol = s.tcp ? 6 : 17
  if (s.six) {
    const [source, destination] = inwards ? [server6, vip6] : [hostIp6, server6]
    return packet6({ source, destination, protocol, payload })
  }
  const [source, destination] = inwards ? [server4, vip4] : [hostIp, server4]
  return packet4({ source, destination, protocol, payload, dontFragment: true })
}

/** A lead whose tunnel stands, and a follower that knows its sizes. */
function both() {
  const w = world()
  w.route()
  const versions = new Int32Array(new SharedArrayBuffer(4 * VERSION_WORDS))
  const lead = new Lead(versions, w.core.routes)
  const follower = new BridgeFollower(VIRTUAL)
  follower.told({ say: 'versions', versions })
  follower.tunnel(9, SIZES)
  const b = superBatch(1)
  const put = (bytes: Uint8Array, gso: number): void => {
    b.arena.fill(0)
    b.arena.set(bytes, slotAt(b, 0))
    b.lens[0] = bytes.length
    b.gso[0] = gso
  }
  /** The lead judges it and tells; what became of it, or the verdict. */
  const out = (frame: Uint8Array, gso = 0): Uint8Array | string => {
    const verdict = w.tap(frame, gso)
    if (verdict !== 'to-tunnel') return verdict
    const known = w.core.judged('to-tunnel')
    const flow = known === null ? null : lead.flow('out', known, w.now)
    if (flow !== null) follower.told(structuredClone({ say: 'flow', flow }))
    return w.slot(w.core.toTunnel)
  }
  const into = (bytes: Uint8Array, gso = 0): Uint8Array | string => {
    const verdict = w.tunnel(bytes, gso)
    if (verdict !== 'to-host') return verdict
    const known = w.core.judged('to-host')
    const flow = known === null ? null : lead.flow('in', known, w.now)
    if (flow !== null) follower.told(structuredClone({ say: 'flow', flow }))
    return w.slot(w.core.toHost)
  }
  return {
    w,
    lead,
    follower,
    out,
    into,
    followOut: (frame: Uint8Array, gso = 0): Uint8Array | string => {
      put(frame, gso)
      const verdict = follower.fromTap(b, 0, w.now)
      if (verdict !== 'to-tunnel') return verdict
      const { at, len, tunnel } = follower.toTunnel
      expect([tunnel, follower.toTunnel.gso]).toEqual([9, gso])
      return b.arena.slice(at, at + len)
    },
    followInto: (bytes: Uint8Array, gso = 0): Uint8Array | string => {
      put(bytes, gso)
      const verdict = follower.fromTunnel(b.view, slotAt(b, 0), bytes.length, gso, w.now)
      if (verdict !== 'to-host') return verdict
      const { at, len } = follower.toHost
      return b.arena.slice(at, at + len)
    },
  }
}

const PLAIN: Shape = { six: false, tcp: false, syn: false, bytes: 100, gso: 0 }
const frame = (s: Shape = PLAIN): Uint8Array => ipFrame(up, packet(s))

test('a follower does to packets of a known flow what the lead does, both ways, and knows nothing before', () => {
  fc.assert(
    fc.property(fc.array(shape, { minLength: 1, maxLength: 12 }), fc.boolean(), (shapes, tagged) => {
      const t = both()
      const way = tagged ? { ...up, tag: TAG } : up
      for (const s of shapes) {
        const bytes = ipFrame(way, packet(s))
        const first = t.followOut(bytes, s.gso)
        const lead = t.out(bytes, s.gso)
        const then = t.followOut(bytes, s.gso)
        if (typeof first !== 'string') expect(first).toEqual(lead)
        else expect(first).toBe('hand')
        // What the lead does not simply send on stays the lead's.
        expect(then).toEqual(typeof lead === 'string' ? 'hand' : lead)
        const back = packet(s, true)
        const led = t.into(back, s.gso)
        expect(t.followInto(back, s.gso)).toEqual(led)
        expect(typeof led).not.toBe('string')
      }
    }),
    { numRuns: 60 },
  )
})

test('nothing told: data is handed over, and what is no data for a tunnel is passed on', () => {
  const t = both()
  expect(t.followOut(frame())).toBe('hand')
  expect(t.followInto(packet(PLAIN, true))).toBe('hand')
  expect(t.followOut(query(1, 'a.example'))).toBe('pass')
  const arp = newFrameFor(up, ether.TYPE_ARP, 28)
  expect(t.followOut(arp.bytes)).toBe('pass')
  for (const short of [0, 13, 20, 33]) expect(t.followOut(frame().slice(0, short))).toBe('pass')
  for (const short of [0, 3, 19]) expect(t.followInto(packet(PLAIN, true).slice(0, short))).toBe('hand')
})

test.each([
  [
    'the host sends to another gateway',
    (t) => t.out(ipFrame({ ...up, to: 0x02_0000000077 as LinkAddr }, packet(PLAIN))),
  ],
  ['its tag is another', (t) => t.out(ipFrame({ ...up, tag: TAG }, packet(PLAIN)))],
  ['the coordinator gives it other addresses', (t) => grant(t)],
  ['its address moved behind another tunnel', (t) => route(t, 8)],
  ['its tunnel is gone, as the lead knows', (t) => t.w.core.handle({ in: 'tunnel-gone', tunnel: 9 }, t.w.now)],
] as [string, (t: ReturnType<typeof both>) => void][])('void when %s', (_, change) => {
  const t = both()
  t.out(frame())
  t.into(packet(PLAIN, true))
  expect(typeof t.followOut(frame())).toBe('object')
  change(t)
  t.lead.publish()
  expect(t.followOut(frame())).toBe('hand')
  expect(t.followInto(packet(PLAIN, true))).toBe('hand')
})

test('not void because of other hosts, or of addresses that were not there before', () => {
  const t = both()
  t.out(frame())
  t.w.tap(ipFrame({ ...up, from: 0x02_0000000099 as LinkAddr }, packet(PLAIN)))
  for (const h of t.w.core.hosts.all()) if (h.link !== up.from) h.changes++
  t.w.core.routes.set(v4('198.19.0.99'), 9)
  t.lead.publish()
  expect(typeof t.followOut(frame())).toBe('object')
})

test('void by the follower’s own knowledge: its tunnel is gone, its time is over', () => {
  for (const end of ['tunnel', 'time']) {
    const t = both()
    t.out(frame())
    t.into(packet(PLAIN, true))
    if (end === 'tunnel') t.follower.tunnel(9, null)
    else t.w.now = instant(t.w.now + FOLLOWED_FOR)
    expect(t.followOut(frame())).toBe('hand')
    expect(t.followInto(packet(PLAIN, true))).toBe('hand')
    // And it stays so until it is told anew.
    t.follower.tunnel(9, SIZES)
    t.w.now = instant(0)
    expect(t.followOut(frame())).toBe('hand')
    expect(t.followInto(packet(PLAIN, true))).toBe('hand')
  }
})

test('with one packet that is the lead’s the whole flow is, until the lead says otherwise', () => {
  const t = both()
  const fragment = packet(PLAIN)
  viewOf(fragment).setUint16(6, 0x2000)
  const tooBig = ipFrame(up, packet({ ...PLAIN, bytes: 1380 }))
  const cutFirst = [ipFrame(up, packet({ ...PLAIN, bytes: 400, gso: 500 })), 1450] as const
  for (const [bytes, gso] of [[ipFrame(up, fragment), 0], [tooBig, 0], cutFirst] as const) {
    t.out(frame())
    expect(typeof t.followOut(frame())).toBe('object')
    expect(t.followOut(bytes, gso)).toBe('hand')
    expect(t.followOut(frame())).toBe('hand')
  }
  t.out(frame())
  const foreign = ipFrame({ ...up, from: gateway }, packet(PLAIN))
  expect(t.followOut(foreign), 'another host with the same address').toBe('hand')
})

test('other flows between the same two are the lead’s and leave the known one alone', () => {
  const t = both()
  t.out(frame())
  t.into(packet(PLAIN, true))
  const ping = packet4({ source: hostIp, destination: server4, protocol: 1, payload: big(64) })
  expect(t.followOut(ipFrame(up, ping))).toBe('hand')
  expect(t.followInto(packet4({ source: server4, destination: vip4, protocol: 1, payload: big(64) }))).toBe('hand')
  expect(typeof t.followOut(frame())).toBe('object')
  expect(typeof t.followInto(packet(PLAIN, true))).toBe('object')
})

test('a tunnel that takes less is heeded at once', () => {
  const t = both()
  const long = ipFrame(up, packet({ ...PLAIN, bytes: 1300 }))
  t.out(long)
  expect(typeof t.followOut(long)).toBe('object')
  t.follower.tunnel(9, { innerBytes: 1280, wholeBytes: 1200, clampBytes: 1200 })
  expect(t.followOut(long)).toBe('hand')
})

function grant({ w }: ReturnType<typeof both>): void {
  const [host] = [...w.core.hosts.all()]
  if (host !== undefined)
    w.core.handle({ in: 'granted', hosts: [{ host: host.id, vip4: v4('198.18.0.10'), vip6 }] }, w.now)
}

function route({ w }: ReturnType<typeof both>, tunnel: number): void {
  w.core.handle(
    { in: 'directed', id: 2, result: { ok: true, vip4: server4, vip6: server6, ttlSeconds: 60, tunnel } },
    w.now,
  )
}
