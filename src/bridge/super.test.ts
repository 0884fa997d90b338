import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Ip4 } from '#ntm-lib/addr/ip4.ts'
import type { LinkAddr } from '#ntm-lib/addr/link.ts'
import { concat, same } from '#ntm-lib/base/bytes.ts'
import { instant } from '#ntm-lib/base/time.ts'
import * as arp from '#ntm-lib/packet/arp.ts'
import { checksumsHold, packet4, packet6, tcp, udp, viewOf } from '#ntm-lib/packet/build.ts'
import * as ether from '#ntm-lib/packet/ether.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import { CSUM_MISSING, slotAt } from '#ntm-lib/ports/packet-port.ts'
import {
  gateway,
  hostIp,
  hostIp6,
  hostLink,
  inner,
  only,
  query,
  reply,
  server4,
  server6,
  TAG,
  up,
  v4,
  vip4,
  vip6,
  world,
} from '#test/support/bridge-world.ts'
import { ipFrame, newFrameFor } from './frame.ts'

const big = (bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, i) => (i * 31) & 0xff)
const ACK = 0x10
const tcp4 = (bytes: number): Uint8Array =>
  packet4({
    source: hostIp,
    destination: server4,
    protocol: 6,
    payload: tcp(4000, 80, ACK, big(bytes)),
    dontFragment: true,
  })
const udp4 = (bytes: number, dontFragment = false): Uint8Array =>
  packet4({ source: hostIp, destination: server4, protocol: 17, payload: udp(4000, 9, big(bytes)), dontFragment })
const udp6 = (bytes: number): Uint8Array =>
  packet6({ source: hostIp6, destination: server6, protocol: 17, payload: udp(4000, 9, big(bytes)) })

test('64 KiB of TCP go whole, whatever their segments are, and come back whole', () => {
  for (const gso of [100, 1360, 1460, 9000]) {
    const w = world()
    w.route()
    const packet = tcp4(65_000 - 40)
    expect(w.tap(ipFrame({ ...up, tag: TAG }, packet), gso)).toBe('to-tunnel')
    expect(w.core.toTunnel).toMatchObject({ tunnel: 9, len: 65_000, gso })
    const sent = w.slot(w.core.toTunnel)
    expect([ip4.source(viewOf(sent), 0), ip4.totalLength(viewOf(sent), 0)]).toEqual([vip4, 65_000])
    // It was right before, so the deltas keep it right: the same code for one packet and for 64 KiB.
    expect(checksumsHold(sent)).toBe(true)
    expect(same(sent.subarray(20, 36), packet.subarray(20, 36))).toBe(true)

    const back = packet4({ source: server4, destination: vip4, protocol: 6, payload: tcp(80, 4000, ACK, big(64_960)) })
    expect(w.tunnel(back, gso)).toBe('to-host')
    expect(w.core.toHost).toMatchObject({ len: 18 + 65_000, gso })
    const frame = w.slot(w.core.toHost)
    expect([ip4.destination(viewOf(inner(frame)), 0), checksumsHold(inner(frame))]).toEqual([hostIp, true])
    expect(w.outs()).toEqual([])
  }
})

test('the largest IPv6 packet there is goes whole both ways', () => {
  const w = world()
  w.route()
  const packet = packet6({ source: hostIp6, destination: server6, protocol: 6, payload: tcp(1, 2, ACK, big(65_515)) })
  expect(packet.length).toBe(40 + 65_535)
  expect(w.tap(ipFrame({ ...up, tag: 0 }, packet), 1220)).toBe('to-tunnel')
  const sent = w.slot(w.core.toTunnel)
  expect([sent.length, ip6.source(viewOf(sent), 0), checksumsHold(sent)]).toEqual([packet.length, vip6, true])
  const back = packet6({ source: server6, destination: vip6, protocol: 6, payload: tcp(2, 1, ACK, big(65_515)) })
  expect(w.tunnel(back, 1220)).toBe('to-host')
  const got = inner(w.slot(w.core.toHost))
  expect([ip6.destination(viewOf(got), 0), checksumsHold(got)]).toEqual([hostIp6, true])
})

test('datagrams of a super-packet: whole while each fits, cut first when they do not, refused when they never will', () => {
  const w = world()
  w.route()
  w.core.handle({ in: 'tunnel-mtu', tunnel: 9, innerBytes: 1500, wholeBytes: 1300 }, w.now)
  expect(w.tap(ipFrame(up, udp4(20_000)), 1300 - 28)).toBe('to-tunnel')
  expect(w.tap(ipFrame(up, udp6(20_000)), 1300 - 48)).toBe('to-tunnel')
  // One that is shorter than its own segment size is as long as it is.
  expect(w.tap(ipFrame(up, udp4(500)), 9000)).toBe('to-tunnel')

  for (const [packet, gso] of [
    [udp4(20_000, true), 1300 - 27],
    [udp6(20_000), 1300 - 47],
    [udp4(20_000), 5000],
  ] as const) {
    const frame = ipFrame({ ...up, tag: TAG }, packet)
    expect(w.tap(frame, gso)).toBe('cut-first')
    expect(w.core.toCut).toMatchObject({ len: packet.length, gso })
    // Its frames are judged anew, so nothing may have been touched.
    expect(same(w.slot(w.core.toCut), packet)).toBe(true)
    expect(w.core.toCut.at - slotAt(w.batch, 0)).toBe(18)
  }
  expect(w.outs()).toEqual([])

  expect(w.tap(ipFrame(up, udp4(20_000, true)), 1473)).toBe('dropped')
  const error = inner(only(w.outs(), 'to-host').frame)
  expect([error[20], error[21], viewOf(error).getUint16(26)]).toEqual([3, 4, 1500])
  expect(w.tap(ipFrame(up, udp6(20_000)), 1473)).toBe('dropped')
  expect(viewOf(inner(only(w.outs(), 'to-host').frame)).getUint32(44)).toBe(1500)
  expect(w.counters.get('bridge.drop.too-big')).toBe(2)
})

test('a packet without its checksum gets one before it is cut into fragments', () => {
  const w = world()
  w.route()
  w.core.handle({ in: 'tunnel-mtu', tunnel: 9, innerBytes: 1300, wholeBytes: 1250 }, w.now)
  const packet = udp4(1350)
  viewOf(packet).setUint16(26, 0xabcd)
  expect(w.tap(ipFrame(up, packet), CSUM_MISSING)).toBe('consumed')
  const pieces = w.outs().map((o) => (o.out === 'to-tunnel' ? o : null))
  expect(pieces.map((p) => p?.gso)).toEqual([0, 0])
  const joined = concat(...pieces.map((p) => (p?.packet ?? new Uint8Array(0)).subarray(20)))
  const right = packet4({ source: vip4, destination: server4, protocol: 17, payload: udp(4000, 9, big(1350)) })
  expect(same(joined, right.subarray(20))).toBe(true)
  // One that goes whole is completed where it leaves.
  expect(w.tap(ipFrame(up, udp4(100)), CSUM_MISSING)).toBe('to-tunnel')
  expect(w.core.toTunnel.gso).toBe(CSUM_MISSING)
})

test('DNS without a checksum: complete when it goes on, and when a kept reply is let go', () => {
  const w = world()
  const asked = query(1, 'empty.example')
  const spoil = (frame: Uint8Array): Uint8Array => {
    const copy = frame.slice()
    viewOf(copy).setUint16(14 + 20 + 6, 0x1234)
    return copy
  }
  expect(w.tap(spoil(asked), CSUM_MISSING)).toBe('to-net')
  expect(w.batch.gso[0]).toBe(0)
  expect(same(w.slot({ at: slotAt(w.batch, 0), len: asked.length }), asked)).toBe(true)
  w.outs()
  const answer = reply(inner(asked).subarray(28), [])
  expect(w.tap(spoil(answer), CSUM_MISSING)).toBe('consumed')
  w.tick(5000)
  w.tick(10_000)
  const frames = w.outs().flatMap((o) => (o.out === 'to-host' ? [o.frame] : []))
  expect(frames.length).toBe(1)
  expect(same(frames[0] ?? new Uint8Array(0), answer)).toBe(true)
})

test('DNS in a super-packet is cut first: no name slips through', () => {
  const w = world()
  for (const frame of [query(1, 'bob.ntm.example'), reply(inner(query(1, 'a.example')).subarray(28), [])]) {
    expect(w.tap(frame, 20)).toBe('cut-first')
    expect(same(w.slot(w.core.toCut), inner(frame))).toBe(true)
  }
})

test('super-packets wait for their tunnel as they are, within bounds', () => {
  const w = world()
  const to = (destination: Ip4): Uint8Array =>
    ipFrame(up, packet4({ source: hostIp, destination, protocol: 6, payload: tcp(1, 2, ACK, big(64_000)) }))
  for (let n = 0; n < 120; n++) w.tap(to(v4(`198.19.1.${n % 60}`)), 1400)
  // Packets of 64,040 bytes in 4 MiB: 65.
  expect(w.counters.get('bridge.drop.unknown-full')).toBe(120 - 65)
  const first = w.outs().find((o) => o.out === 'direct')
  const result = { ok: true, vip4: v4('198.19.1.0'), vip6: server6, ttlSeconds: 60, tunnel: 5 } as const
  w.core.handle({ in: 'directed', id: first?.id ?? 0, result }, w.now)
  const sent = w.outs().flatMap((o) => (o.out === 'to-tunnel' ? [o] : []))
  expect(sent.map((o) => [o.tunnel, o.gso, o.packet.length, checksumsHold(o.packet)])).toEqual([
    [5, 1400, 64_040, true],
    [5, 1400, 64_040, true],
  ])
  // What left makes room again, and so does what nobody answered.
  expect([w.tap(to(v4('198.19.1.9')), 1400), w.tap(to(v4('198.19.1.8')), 1400)]).toEqual(['consumed', 'consumed'])
  expect(w.tap(to(v4('198.19.1.10')), 1400)).toBe('dropped')
  w.tick(6000)
  for (let n = 0; n < 60; n++) expect(w.tap(to(v4(`198.19.1.${n}`)), 1400)).toBe(n === 0 ? 'to-tunnel' : 'consumed')
})

// A decision that is remembered must be the one that would be made anew. The same happens in two worlds: in one no time passes, so
// everything known is used; in the other whatever was known is too old at each packet.
test('what is known about a flow never differs from finding it out', () => {
  const other = 0x020000000077 as LinkAddr
  const second = v4('10.0.0.6')
  const wayBack = (source: number, destination: number): Uint8Array =>
    packet4({ source, destination, protocol: 17, payload: udp(9, 4000, big(10)) })
  type World = ReturnType<typeof world>
  const steps: Record<string, (w: World) => unknown> = {
    out: (w) => [w.tap(ipFrame(up, udp4(8))), w.slot(w.core.toTunnel)],
    out6: (w) => [w.tap(ipFrame(up, udp6(8))), w.slot(w.core.toTunnel)],
    'out from another address': (w) => [
      w.tap(
        ipFrame(up, packet4({ source: second, destination: server4, protocol: 17, payload: udp(4000, 9, big(8)) })),
      ),
      w.slot(w.core.toTunnel),
    ],
    'out over another gateway': (w) => [w.tap(ipFrame({ ...up, to: other }, udp4(8))), w.slot(w.core.toTunnel)],
    'out with a tag': (w) => [w.tap(ipFrame({ ...up, tag: TAG }, udp4(8))), w.slot(w.core.toTunnel)],
    'another host with that address': (w) => [
      w.tap(ipFrame({ ...up, from: other }, udp4(8))),
      [...w.core.hosts.all()].length,
    ],
    in: (w) => [w.tunnel(wayBack(server4, vip4)), w.slot(w.core.toHost)],
    'in, to nobody': (w) => [w.tunnel(wayBack(server4, v4('198.18.0.10')))],
    'in, SYN': (w) => [
      w.tunnel(
        packet4({
          source: server4,
          destination: vip4,
          protocol: 6,
          payload: tcp(1, 2, 2, big(0), Uint8Array.of(2, 4, 5, 180)),
        }),
      ),
      w.slot(w.core.toHost),
    ],
    'another address is learnt': (w) => {
      const body = { operation: 1, senderLink: hostLink, senderIp: v4('10.0.0.7'), targetLink: other, targetIp: hostIp }
      const f = newFrameFor(up, ether.TYPE_ARP, arp.ARP_BYTES)
      arp.write(f.view, f.at, body)
      w.learn('host', f.bytes)
    },
    'another pair': (w) => {
      const id = w.core.hosts.byLink(hostLink)?.id ?? new Uint8Array(8)
      w.core.handle({ in: 'granted', hosts: [{ host: id, vip4: v4('198.18.0.10'), vip6 }] }, w.now)
    },
    'the tunnel shrinks': (w) =>
      w.core.handle({ in: 'tunnel-mtu', tunnel: 9, innerBytes: 1280, wholeBytes: 1200 }, w.now),
    'the tunnel goes': (w) => w.core.handle({ in: 'tunnel-gone', tunnel: 9 }, w.now),
    'another tunnel': (w) =>
      w.core.handle(
        { in: 'directed', id: 4711, result: { ok: true, vip4: server4, vip6: server6, ttlSeconds: 9, tunnel: 10 } },
        w.now,
      ),
  }
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...Object.keys(steps)), { minLength: 1, maxLength: 14 }), (names) => {
      const run = (each: number): unknown[] => {
        const w = world()
        w.route()
        return names.map((name) => {
          // No `tick`: only what is remembered may notice.
          w.now = instant(w.now + each)
          return [name, steps[name]?.(w), w.outs().map(({ out }) => out)]
        })
      }
      expect(run(0)).toEqual(run(1001))
    }),
    { numRuns: 400 },
  )
  // That the two are indeed different ways: a gateway that was told without a word of it to the core stays unknown to the first.
  const w = world()
  w.route()
  w.tunnel(wayBack(server4, vip4))
  const host = w.core.hosts.byLink(hostLink)
  if (host !== null) host.gatewayLink = other
  w.tunnel(wayBack(server4, vip4))
  const from = (): number => viewOf(w.slot(w.core.toHost)).getUint16(10)
  expect(from()).toBe(gateway & 0xffff)
  w.now = instant(1001)
  w.tunnel(wayBack(server4, vip4))
  expect(from()).toBe(0x77)
})

test('no super-packet makes it throw, whatever it is and says', () => {
  const bases = [
    query(1, 'v6only.example'),
    reply(inner(query(1, 'a.example')).subarray(28), []),
    ipFrame(up, tcp4(3000)),
    ipFrame({ ...up, tag: TAG }, udp4(3000)),
    ipFrame(up, udp6(3000)),
  ]
  const gso = fc.constantFrom(0, 1, 20, 1400, 0xfffe, CSUM_MISSING)
  const edits = fc.array(fc.tuple(fc.nat(90), fc.nat(255)), { maxLength: 5 })
  fc.assert(
    fc.property(fc.constantFrom(...bases), gso, edits, fc.nat(120), (base, gso, edits, cut) => {
      const w = world()
      w.route()
      w.core.handle({ in: 'tunnel-mtu', tunnel: 9, innerBytes: 1300, wholeBytes: 1250 }, w.now)
      const frame = base.slice(0, Math.max(0, base.length - (cut > 80 ? cut - 80 : 0)))
      for (const [at, value] of edits) if (at < frame.length) frame[at] = value
      const verdict = w.tap(frame, gso)
      const piece = verdict === 'to-tunnel' ? w.core.toTunnel : verdict === 'cut-first' ? w.core.toCut : null
      // Whatever is handed on lies within the frame.
      if (piece !== null) {
        expect(piece.at).toBeGreaterThanOrEqual(slotAt(w.batch, 0) + 14)
        expect(piece.at + piece.len).toBeLessThanOrEqual(slotAt(w.batch, 0) + frame.length)
      }
      // Again, now that it may be known; and as if it had come out of the tunnel.
      w.tap(frame, gso)
      w.tunnel(frame.subarray(14), gso)
      w.tick(10_000)
      w.outs()
    }),
    { numRuns: 1500 },
  )
})

test('a packet of a known flow leaves nothing behind for the garbage collector', () => {
  const program = fileURLToPath(new URL('../../test/support/bridge-heap.ts', import.meta.url))
  const said = JSON.parse(execFileSync(process.execPath, [program], { encoding: 'utf8' })) as Record<string, number>
  expect(Object.keys(said).length).toBe(4)
  for (const [name, bytes] of Object.entries(said)) expect(bytes, `${name}: bytes a packet`).toBeLessThan(2)
})
