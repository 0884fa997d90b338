import fc from 'fast-check'
import { expect, test } from 'vitest'
import { buildQuery, parseMessage, TYPE } from '#dnsfn/message.ts'
import type { Ip4 } from '#ntm-lib/addr/ip4.ts'
import type { Ip6 } from '#ntm-lib/addr/ip6.ts'
import { type LinkAddr, parseLink } from '#ntm-lib/addr/link.ts'
import { same } from '#ntm-lib/base/bytes.ts'
import * as arp from '#ntm-lib/packet/arp.ts'
import { checksumsHold, icmp, packet4, packet6, tcp, udp, viewOf } from '#ntm-lib/packet/build.ts'
import * as ether from '#ntm-lib/packet/ether.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import * as ndp from '#ntm-lib/packet/ndp.ts'
import { HEADROOM } from '#ntm-lib/ports/packet-port.ts'
import { MAX_HOSTS } from '#ntm-lib/wire/messages/common.ts'
import {
  box,
  dhcp,
  gateway,
  hostIp,
  hostIp6,
  hostLink,
  inner,
  only,
  query,
  reply,
  resolver,
  server4,
  server6,
  TAG,
  up,
  v4,
  v6,
  vip4,
  vip6,
  world,
} from '#test/support/bridge-world.ts'
import { ipFrame, newFrameFor, udpFrame, type Way } from './frame.ts'

test('a host is learnt by its first query and claimed; the query passes until it has its pair', () => {
  const w = world(false)
  expect(w.tap(query(1, 'v6only.example'))).toBe('to-net')
  expect(w.outs()).toEqual([
    { out: 'claim-hosts', hosts: [{ host: expect.any(Uint8Array), name: 'host-020000000005', families: 1 }] },
  ])
  expect(w.outs()).toEqual([])
})

for (const tag of [0, TAG]) {
  test(`an IPv4-only host reaches a v6-only name, from query to packets both ways (${tag === 0 ? 'untagged' : 'VLAN 5'})`, () => {
    const w = world()
    const [there, back] = [
      { ...up, tag },
      { to: hostLink, from: gateway, tag },
    ]
    expect(w.tap(query(1, 'v6only.example', there))).toBe('to-net')
    const ask = only(w.outs(), 'to-net')
    expect(ask.frame.subarray(0, 14 + (tag ? 4 : 0))).toEqual(
      query(1, 'x.example', there).subarray(0, 14 + (tag ? 4 : 0)),
    )
    expect(checksumsHold(inner(ask.frame))).toBe(true)
    const asked = parseMessage(inner(ask.frame).subarray(28))!
    expect(asked.question).toEqual({ name: 'v6only.example', type: TYPE.AAAA, class: 1 })
    expect(w.tap(reply(inner(query(1, 'v6only.example')).subarray(28), [], back))).toBe('consumed')
    expect(w.tap(reply(inner(ask.frame).subarray(28), [v6('2001:db8::1')], back))).toBe('consumed')
    const direct = only(w.outs(), 'direct')
    expect(direct).toMatchObject({ sought: { by: 'name', name: 'v6only.example' }, why: 'dns', sources: [vip4, vip6] })
    w.core.handle(
      {
        in: 'directed',
        id: direct.id,
        result: { ok: true, vip4: server4, vip6: server6, ttlSeconds: 300, tunnel: 77 },
      },
      w.now,
    )
    w.core.handle({ in: 'tunnel-mtu', tunnel: 77, innerBytes: 1400, wholeBytes: 1400 }, w.now)
    const answer = only(w.outs(), 'to-host')
    expect(ether.source(viewOf(answer.frame), 0)).toBe(gateway)
    expect(answer.frame.length).toBe(14 + (tag ? 4 : 0) + inner(answer.frame).length)
    expect(ip4.source(viewOf(inner(answer.frame)), 0)).toBe(resolver)
    expect(parseMessage(inner(answer.frame).subarray(28))).toMatchObject({
      id: 1,
      answers: [{ data: server4, ttl: 60 }],
    })

    const syn = tcp(4000, 80, 2, new Uint8Array(0), Uint8Array.of(2, 4, 0x05, 0xb4))
    expect(w.tap(ipFrame(there, packet4({ source: hostIp, destination: server4, protocol: 6, payload: syn })))).toBe(
      'to-tunnel',
    )
    expect(w.core.toTunnel).toMatchObject({ tunnel: 77, gso: 0 })
    const sent = w.slot(w.core.toTunnel)
    expect([ip4.source(viewOf(sent), 0), ip4.destination(viewOf(sent), 0)]).toEqual([vip4, server4])
    expect(checksumsHold(sent)).toBe(true)
    expect(viewOf(sent).getUint16(42)).toBe(1360)

    const synAck = tcp(80, 4000, 0x12, new Uint8Array(0), Uint8Array.of(2, 4, 0x05, 0xb4))
    expect(w.tunnel(packet4({ source: server4, destination: vip4, protocol: 6, payload: synAck }))).toBe('to-host')
    const frame = w.slot(w.core.toHost)
    expect([ether.destination(viewOf(frame), 0), ether.source(viewOf(frame), 0)]).toEqual([hostLink, gateway])
    expect(viewOf(frame).getUint32(12) === TAG).toBe(tag !== 0)
    expect([ip4.source(viewOf(inner(frame)), 0), ip4.destination(viewOf(inner(frame)), 0)]).toEqual([server4, hostIp])
    expect(checksumsHold(inner(frame))).toBe(true)
    expect(viewOf(inner(frame)).getUint16(42)).toBe(1360)
  })
}

test('a reply with an address passes, and one for a machine nobody met', () => {
  const w = world()
  w.tap(query(1, 'both.example'))
  expect(w.tap(reply(inner(query(1, 'both.example')).subarray(28), [v4('192.0.2.1')]))).toBe('to-host')
  expect(w.tap(reply(inner(query(1, 'both.example')).subarray(28), [], { to: box, from: gateway, tag: 0 }))).toBe(
    'to-host',
  )
})

test('a held reply that is let go is the very frame that came', () => {
  const w = world()
  w.tap(query(1, 'empty.example'))
  const frame = reply(inner(query(1, 'empty.example')).subarray(28), [])
  expect(w.tap(frame)).toBe('consumed')
  w.outs()
  w.tick(500)
  expect(w.outs().map((o) => o.out)).toEqual(['to-net'])
  w.tick(1500)
  const outs = w.outs().filter((o) => o.out !== 'remember')
  expect(same(only(outs, 'to-host').frame, frame)).toBe(true)
})

test('IPv6 in the tunnel: rewritten both ways with right checksums', () => {
  const w = world()
  w.route()
  const packet = packet6({
    source: hostIp6,
    destination: server6,
    protocol: 17,
    payload: udp(4000, 53, Uint8Array.of(1)),
  })
  expect(w.tap(ipFrame(up, packet))).toBe('to-tunnel')
  const sent = w.slot(w.core.toTunnel)
  expect([ip6.source(viewOf(sent), 0), checksumsHold(sent)]).toEqual([vip6, true])
  expect(
    w.tunnel(packet6({ source: server6, destination: vip6, protocol: 17, payload: udp(53, 4000, Uint8Array.of(2)) })),
  ).toBe('to-host')
  const got = inner(w.slot(w.core.toHost))
  expect([ip6.destination(viewOf(got), 0), checksumsHold(got)]).toEqual([hostIp6, true])
})

test('IPv6 segments are clamped to what goes whole', () => {
  const w = world()
  w.route()
  const syn = tcp(4000, 80, 2, new Uint8Array(0), Uint8Array.of(2, 4, 0x05, 0xb4))
  w.tap(ipFrame(up, packet6({ source: hostIp6, destination: server6, protocol: 6, payload: syn })))
  const sent = w.slot(w.core.toTunnel)
  expect([viewOf(sent).getUint16(62), checksumsHold(sent)]).toEqual([1340, true])
})

test('what could be query and reply alike goes on to the side it did not come from', () => {
  const w = world()
  const both = { source: hostIp, sourcePort: 53, to: resolver, toPort: 53 }
  const payload = buildQuery({ id: 1, name: 'bob.ntm.example', type: TYPE.A, recursionDesired: true })!
  expect(w.tap(udpFrame(up, both, payload))).toBe('to-net')
  expect(w.tap(udpFrame({ to: hostLink, from: gateway, tag: 0 }, both, payload))).toBe('to-host')
  expect(w.outs()).toEqual([])
})

test('an ICMP error from the tunnel shows the host its own packet', () => {
  const w = world()
  w.route()
  const original = packet4({
    source: vip4,
    destination: server4,
    protocol: 17,
    payload: udp(4000, 9, new Uint8Array(20)),
  })
  expect(w.tunnel(packet4({ source: server4, destination: vip4, protocol: 1, payload: icmp(3, 3, 0, original) }))).toBe(
    'to-host',
  )
  const got = inner(w.slot(w.core.toHost))
  expect(checksumsHold(got)).toBe(true)
  expect(ip4.source(viewOf(got), 28)).toBe(hostIp)
  expect(checksumsHold(got.slice(28))).toBe(true)
})

test('a host with two addresses gets each answer at the one it spoke from', () => {
  const w = world()
  w.route(v4('198.19.0.8'))
  const second = v4('10.0.0.6')
  w.tap(
    ipFrame(up, packet4({ source: hostIp, destination: server4, protocol: 17, payload: udp(1, 2, new Uint8Array(1)) })),
  )
  w.tap(
    ipFrame(
      up,
      packet4({ source: second, destination: v4('198.19.0.8'), protocol: 17, payload: udp(1, 2, new Uint8Array(1)) }),
    ),
  )
  w.tap(
    ipFrame(up, packet4({ source: hostIp, destination: server4, protocol: 17, payload: udp(1, 2, new Uint8Array(1)) })),
  )
  for (const [from, to] of [
    [server4, hostIp],
    [v4('198.19.0.8'), second],
  ] as const) {
    w.tunnel(packet4({ source: from, destination: vip4, protocol: 17, payload: udp(2, 1, new Uint8Array(1)) }))
    expect(ip4.destination(viewOf(inner(w.slot(w.core.toHost))), 0)).toBe(to)
  }
})

test('a packet to a forgotten virtual address asks once, waits, and goes when the tunnel stands', () => {
  const w = world()
  const ping = (n: number) =>
    ipFrame(up, packet4({ source: hostIp, destination: server4, protocol: 1, payload: icmp(8, 0, n) }))
  for (let n = 0; n < 10; n++) w.tap(ping(n))
  const direct = only(w.outs(), 'direct')
  expect(direct).toMatchObject({ sought: { by: 'vip', vip: server4 }, why: 'data', sources: [vip4, vip6] })
  expect(w.counters.get('bridge.drop.unknown-full')).toBe(2)
  w.core.handle(
    { in: 'directed', id: direct.id, result: { ok: true, vip4: server4, vip6: server6, ttlSeconds: 60, tunnel: 5 } },
    w.now,
  )
  const sent = w.outs()
  expect(sent.length).toBe(8)
  for (const [n, o] of sent.entries()) {
    if (o.out !== 'to-tunnel') throw new Error(o.out)
    const v = viewOf(o.packet)
    expect([o.tunnel, ip4.destination(v, 0), ip4.source(v, 0), checksumsHold(o.packet), v.getUint32(24)]).toEqual([
      5,
      server4,
      vip4,
      true,
      n,
    ])
  }
  expect(w.tap(ping(11))).toBe('to-tunnel')
  w.core.handle({ in: 'tunnel-gone', tunnel: 5 }, w.now)
  expect(w.tap(ping(12))).toBe('consumed')
})

test('an unknown virtual address is answered with ICMP host unreachable, at once the second time', () => {
  const w = world()
  const frame = ipFrame(
    up,
    packet4({ source: hostIp, destination: server4, protocol: 17, payload: udp(1, 2, new Uint8Array(4)) }),
  )
  w.tap(frame)
  const direct = only(w.outs(), 'direct')
  w.core.handle({ in: 'directed', id: direct.id, result: { ok: false, why: 'unknown-name' } }, w.now)
  for (let i = 0; i < 2; i++) {
    const error = inner(only(w.outs(), 'to-host').frame)
    expect([error[20], error[21], checksumsHold(error), ip4.destination(viewOf(error), 0)]).toEqual([
      3,
      1,
      true,
      hostIp,
    ])
    expect(same(error.subarray(28), inner(frame).subarray(0, error.length - 28))).toBe(true)
    expect(w.tap(frame)).toBe('dropped')
  }
  for (let i = 0; i < 200; i++) w.tap(frame)
  expect(w.outs().length).toBeLessThan(60)
})

test('a host that scans virtual addresses costs the coordinator a bounded number of questions', () => {
  const w = world()
  for (let n = 0; n < 1000; n++) {
    const destination = v4(`198.19.${n >> 8}.${n & 255}`)
    w.tap(ipFrame(up, packet4({ source: hostIp, destination, protocol: 6, payload: tcp(1, 2, 2) })))
  }
  expect(w.outs().length).toBe(64)
  w.tick(6000)
  expect(w.counters.get('bridge.drop.direction-silent')).toBe(64)
  expect(w.core.deadline() ?? 6001).toBeGreaterThan(6000)
})

test('too large: refused with M when it may not be cut, cut to T when it may, IPv6 told Packet Too Big', () => {
  const w = world()
  w.route()
  w.core.handle({ in: 'tunnel-mtu', tunnel: 9, innerBytes: 1300, wholeBytes: 1250 }, w.now)
  const big = { source: hostIp, destination: server4, protocol: 17, payload: udp(1, 2, new Uint8Array(1350)) }
  expect(w.tap(ipFrame(up, packet4({ ...big, dontFragment: true })))).toBe('dropped')
  const error = inner(only(w.outs(), 'to-host').frame)
  expect([error[20], error[21], viewOf(error).getUint16(26)]).toEqual([3, 4, 1300])
  const whole = packet4(big)
  expect(w.tap(ipFrame(up, whole))).toBe('consumed')
  const pieces = w.outs().map((o) => (o.out === 'to-tunnel' ? o.packet : new Uint8Array(0)))
  expect(pieces.map((p) => p.length)).toEqual([1244, 154])
  const joined = Uint8Array.from(pieces.flatMap((p) => [...p.subarray(20)]))
  const sealed = packet4({ ...big, source: vip4 })
  expect(same(joined, sealed.subarray(20))).toBe(true)
  expect(pieces.map((p) => viewOf(p).getUint16(6))).toEqual([0x2000, 1224 / 8])
  expect(
    w.tap(
      ipFrame(
        up,
        packet6({ source: hostIp6, destination: server6, protocol: 17, payload: udp(1, 2, new Uint8Array(1350)) }),
      ),
    ),
  ).toBe('dropped')
  const error6 = inner(only(w.outs(), 'to-host').frame)
  expect([error6[40], viewOf(error6).getUint32(44), checksumsHold(error6)]).toEqual([2, 1300, true])
})

test('what a tunnel may not bring: real sources, unknown hosts, broken packets', () => {
  const w = world()
  w.route()
  const p = { source: server4, destination: vip4, protocol: 17, payload: udp(1, 2, new Uint8Array(1)) }
  expect(w.tunnel(packet4({ ...p, source: v4('10.0.0.1') }))).toBe('dropped')
  expect(w.tunnel(packet4({ ...p, destination: v4('198.18.0.77') }))).toBe('dropped')
  expect(w.tunnel(packet4(p).subarray(0, 21))).toBe('dropped')
  expect(w.tap(ipFrame(up, packet4({ ...p, source: v4('198.19.0.1'), destination: server4 })))).toBe('dropped')
  expect([...w.counters.values.keys()].sort()).toEqual([
    'bridge.drop.bad-inner',
    'bridge.drop.no-host',
    'bridge.drop.real-source',
    'bridge.drop.virtual-source',
  ])
})

test('who has this virtual address: answered for hosts without a gateway, not for probes, not without end', () => {
  const w = world()
  const ask = (sender: Ip4) => {
    const f = newFrameFor(
      { to: parseLink('ff:ff:ff:ff:ff:ff')!, from: hostLink, tag: TAG },
      ether.TYPE_ARP,
      arp.ARP_BYTES,
    )
    arp.write(f.view, f.at, {
      operation: 1,
      senderLink: hostLink,
      senderIp: sender,
      targetLink: 0 as LinkAddr,
      targetIp: server4,
    })
    return f.bytes
  }
  expect(w.tap(ask(hostIp))).toBe('consumed')
  const { frame } = only(w.outs(), 'to-host')
  const v = viewOf(frame)
  expect([
    ether.destination(v, 0),
    v.getUint32(12),
    arp.operation(v, 18),
    arp.senderIp(v, 18),
    arp.targetIp(v, 18),
  ]).toEqual([hostLink, TAG, 2, server4, hostIp])
  expect([ether.source(v, 0), arp.senderLink(v, 18)]).toEqual([box, box])
  w.tap(ask(v4('0.0.0.0')))
  w.tap(ask(server4))
  expect(w.outs()).toEqual([])
  for (let i = 0; i < 500; i++) w.tap(ask(hostIp))
  expect(w.outs().length).toBeLessThanOrEqual(100)
})

test('a solicitation for a virtual IPv6 address is answered, duplicate address detection is not', () => {
  const w = world()
  const solicit = (source: Ip6, hops = 255) => {
    const body = Uint8Array.from([...server6, 1, 1, 2, 0, 0, 0, 0, 5])
    const p = packet6({
      source,
      destination: v6('ff02::1:ff00:7'),
      protocol: 58,
      payload: icmp(135, 0, 0, body),
      hopLimit: hops,
    })
    return ipFrame({ to: parseLink('33:33:ff:00:00:07')!, from: hostLink, tag: 0 }, p)
  }
  expect(w.tap(solicit(hostIp6))).toBe('consumed')
  const answer = inner(only(w.outs(), 'to-host').frame)
  expect([
    checksumsHold(answer),
    ndp.target(viewOf(answer), 40),
    ip6.destination(viewOf(answer), 0),
    viewOf(answer).getUint8(40),
  ]).toEqual([true, server6, hostIp6, 136])
  w.tap(solicit(v6('::')))
  expect(w.outs()).toEqual([])
  // Through a router: not a neighbour's question, and nobody we tunnel to either.
  expect(w.tap(solicit(hostIp6, 64))).toBe('to-net')
})

test('a host that uses global IPv6 itself is left to it', () => {
  const w = world()
  const body = Uint8Array.from([...v6('2001:db8:5::1'), 1, 1, 2, 0, 0, 0, 0, 5])
  w.learn(
    'host',
    ipFrame(
      up,
      packet6({
        source: v6('2001:db8:5::5'),
        destination: v6('ff02::1:ff00:1'),
        protocol: 58,
        payload: icmp(135, 0, 0, body),
        hopLimit: 255,
      }),
    ),
  )
  expect(w.tap(query(1, 'v6only.example'))).toBe('to-net')
  // Nothing but word of its second family.
  expect(w.outs()).toMatchObject([{ out: 'claim-hosts', hosts: [{ families: 3 }] }])
})

test('DHCP tells address, gateway and name; its ACK teaches only about known hosts, ARP gives the gateway its link', () => {
  const w = world(false)
  const ack = (client: number[]) =>
    dhcp(5, client, hostIp, [53, 1, 5, 3, 4, 10, 0, 0, 1, 6, 4, 10, 0, 0, 2, 255], false)
  w.learn('net', ack([2, 0, 0, 0, 0, 5]))
  expect(w.core.hosts.size).toBe(0)
  w.learn('host', dhcp(1, [2, 0, 0, 0, 0, 5], v4('0.0.0.0'), [53, 1, 3, 12, 4, 0x50, 0x6c, 0x63, 0x31, 255], true))
  w.learn('net', ack([2, 0, 0, 0, 0, 5]))
  expect([...w.core.hosts.all()]).toMatchObject([
    { link: hostLink, ip4s: [hostIp], gatewayIp: v4('10.0.0.1'), resolver: v4('10.0.0.2'), name: 'plc1' },
  ])
  expect(w.outs()).toMatchObject([{ out: 'claim-hosts', hosts: [{ name: 'plc1' }] }])
  const f = newFrameFor({ to: hostLink, from: gateway, tag: 0 }, ether.TYPE_ARP, arp.ARP_BYTES)
  arp.write(f.view, f.at, {
    operation: 2,
    senderLink: gateway,
    senderIp: v4('10.0.0.1'),
    targetLink: hostLink,
    targetIp: hostIp,
  })
  w.learn('net', f.bytes)
  expect(w.core.hosts.byLink(hostLink)?.gatewayLink).toBe(gateway)
})

test('no more hosts are claimed than a registration can carry, and silent ones give way', () => {
  const w = world(false)
  const from = (n: number): Way => ({ to: gateway, from: (0x020000010000 + n) as LinkAddr, tag: 0 })
  for (let n = 0; n < 200; n++) expect(w.tap(query(1, 'a.example', from(n)))).toBe('to-net')
  const [claim] = w.outs().filter((o) => o.out === 'claim-hosts')
  expect(claim?.hosts.length).toBe(MAX_HOSTS)
  expect(w.core.hosts.byLink(from(150).from)).toBeNull()
  w.tick(700_000)
  w.tap(query(1, 'a.example', from(150)))
  expect(w.core.hosts.byLink(from(150).from)).not.toBeNull()
  expect(w.core.hosts.size).toBe(MAX_HOSTS)
})

test('a static host is learnt from ARP, and forgotten after a day of silence', () => {
  const w = world(false)
  const f = newFrameFor({ to: gateway, from: hostLink, tag: 0 }, ether.TYPE_ARP, arp.ARP_BYTES)
  arp.write(f.view, f.at, {
    operation: 1,
    senderLink: hostLink,
    senderIp: hostIp,
    targetLink: 0 as LinkAddr,
    targetIp: resolver,
  })
  w.learn('host', f.bytes)
  expect([...w.core.hosts.all()].map((h) => h.ip4s)).toEqual([[hostIp]])
  expect(w.outs().length).toBe(1)
  w.tick(90_000_000)
  expect(w.outs()).toEqual([{ out: 'claim-hosts', hosts: [] }])
})

test('no frame makes it throw, and what is not ours is handed on untouched', () => {
  const bases = [
    query(1, 'v6only.example'),
    reply(inner(query(1, 'a.example')).subarray(28), []),
    ipFrame(up, packet4({ source: hostIp, destination: server4, protocol: 6, payload: tcp(1, 2, 2) })),
  ]
  fc.assert(
    fc.property(
      fc.constantFrom(...bases),
      fc.array(fc.tuple(fc.nat(90), fc.nat(255)), { maxLength: 5 }),
      fc.nat(120),
      (base, edits, cut) => {
        const w = world()
        const frame = base.slice(0, Math.max(0, base.length - (cut > 80 ? cut - 80 : 0)))
        for (const [at, value] of edits) if (at < frame.length) frame[at] = value
        const verdict = w.tap(frame)
        if (verdict === 'to-net' || verdict === 'to-host')
          expect(same(w.slot({ at: HEADROOM, len: frame.length }), frame)).toBe(true)
        w.learn('host', frame)
        w.learn('net', frame)
        w.tunnel(frame)
        w.outs()
      },
    ),
    { numRuns: 1500 },
  )
})
