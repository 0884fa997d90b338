import { expect, test } from 'vitest'
import { type LinkAddr, parseLink } from '#ntm-lib/addr/link.ts'
import { instant } from '#ntm-lib/base/time.ts'
import * as arp from '#ntm-lib/packet/arp.ts'
import { checksumsHold, packet4, packet6, tcp, udp, viewOf } from '#ntm-lib/packet/build.ts'
import * as ether from '#ntm-lib/packet/ether.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import * as ndp from '#ntm-lib/packet/ndp.ts'
import {
  box,
  dhcp,
  gateway,
  hostIp,
  hostIp6,
  hostLink,
  inner,
  resolver,
  TAG,
  up,
  v4,
  v6,
  vip4,
  vip6,
  world,
} from '#test/support/bridge-world.ts'
import { ipFrame, newFrameFor } from './frame.ts'
import { type HostMemory, recall } from './memory.ts'
import type { BridgeOut } from './types.ts'

const KEPT: HostMemory = {
  link: '02:00:00:00:00:05',
  name: 'plc-7',
  tag: TAG,
  gateway: '02:00:00:00:00:01',
  gatewayIp: '10.0.0.1',
  ip4: ['10.0.0.5'],
  ip6: ['fd77::5'],
}

/** A bridge that was just started, with hosts it remembers. */
function started(...kept: unknown[]) {
  const w = world(false)
  w.core.handle({ in: 'remembered', hosts: recall(JSON.parse(JSON.stringify(kept))) }, w.now)
  const claims = w.outs().flatMap((o) => (o.out === 'claim-hosts' ? o.hosts : []))
  w.core.handle({ in: 'granted', hosts: claims.map((c) => ({ host: c.host, vip4, vip6 })) }, w.now)
  const asked = (ms: number): readonly Uint8Array[] => {
    w.tick(ms)
    return w.outs().flatMap((o) => (o.out === 'to-host' ? [o.frame] : []))
  }
  return { w, claims, asked }
}
const told = (outs: readonly BridgeOut[]): readonly HostMemory[] =>
  outs.flatMap((o) => (o.out === 'remember' ? o.hosts : []))
const arpOf = (ip: typeof hostIp, link = hostLink): Uint8Array => {
  const f = newFrameFor({ to: gateway, from: link, tag: 0 }, ether.TYPE_ARP, arp.ARP_BYTES)
  arp.write(f.view, f.at, {
    operation: arp.REPLY,
    senderLink: link,
    senderIp: ip,
    targetLink: gateway,
    targetIp: resolver,
  })
  return f.bytes
}

test('what is learnt of a host is told to be kept, once; in another order it is the same', () => {
  const w = world()
  w.learn('host', arpOf(hostIp))
  w.learn('net', dhcp(5, [2, 0, 0, 0, 0, 5], hostIp, [53, 1, 5, 3, 4, 10, 0, 0, 1], false))
  w.learn('host', arpOf(v4('10.0.0.6')))
  w.outs()
  w.tick(10_000)
  const [kept] = told(w.outs())
  expect(kept).toEqual({ link: '02:00:00:00:00:05', gatewayIp: '10.0.0.1', ip4: ['10.0.0.6', '10.0.0.5'] })
  w.learn('host', arpOf(hostIp))
  w.tick(20_000)
  expect(told(w.outs())).toEqual([])
})

test('a host that has said nothing since the start is claimed by its name, and packets for it go out as before', () => {
  const { w, claims } = started(KEPT)
  expect(claims.map((c) => c.name)).toEqual(['plc-7'])
  const far4 = v4('198.18.3.3')
  expect(
    w.tunnel(packet4({ source: far4, destination: vip4, protocol: 17, payload: udp(1, 2, new Uint8Array(3)) })),
  ).toBe('to-host')
  const frame = w.slot(w.core.toHost)
  expect([ether.destination(viewOf(frame), 0), ether.source(viewOf(frame), 0), viewOf(frame).getUint32(12)]).toEqual([
    hostLink,
    gateway,
    TAG,
  ])
  expect(ip4.destination(viewOf(inner(frame)), 0)).toBe(hostIp)
  // To know an address is not to know that the host has the IPv6 Internet.
  const [h] = started({ ...KEPT, ip6: ['2001:db8::5'] }).w.core.hosts.all()
  expect([h?.ip6s, h?.globalIp6Until]).toEqual([[v6('2001:db8::5')], 0])
})

test('it is asked for as its gateway would, at its own link address; four times, then seldom; then it is claimed no more', () => {
  const { w, asked } = started(KEPT)
  const first = asked(0)
  expect(first.length).toBe(2)
  for (const frame of first) {
    expect([ether.destination(viewOf(frame), 0), ether.source(viewOf(frame), 0), viewOf(frame).getUint32(12)]).toEqual([
      hostLink,
      gateway,
      TAG,
    ])
  }
  const [question, solicitation] = first.map((f) => viewOf(f.subarray(18)))
  if (question === undefined || solicitation === undefined) throw new Error('not asked')
  expect([arp.isArp(question, 0, 28), arp.operation(question, 0)]).toEqual([true, arp.REQUEST])
  expect([arp.senderLink(question, 0), arp.senderIp(question, 0), arp.targetIp(question, 0)]).toEqual([
    gateway,
    resolver,
    hostIp,
  ])
  expect([ip6.hopLimit(solicitation, 0), solicitation.getUint8(40)]).toEqual([255, ndp.NEIGHBOUR_SOLICITATION])
  expect(ndp.target(solicitation, 40)).toEqual(hostIp6)
  expect(ip6.destination(solicitation, 0)).toEqual(hostIp6)
  // An asker without an address would be somebody who wants this one.
  expect(ip6.source(solicitation, 0)).toEqual(v6('fd00::1'))
  expect(ndp.linkOption(solicitation, 40, 32, ndp.SOURCE_LINK_OPTION)).toBe(gateway)
  expect(checksumsHold((first[1] ?? new Uint8Array(0)).subarray(18))).toBe(true)

  expect(asked(999)).toEqual([])
  expect(w.core.deadline()).toBe(1000)
  expect([asked(1000).length, asked(2000).length]).toEqual([2, 2])
  expect(w.outs()).toEqual([])
  w.tick(3000)
  const after = w.outs()
  expect(after.filter((o) => o.out === 'to-host').length).toBe(2)
  expect(after).toContainEqual({ out: 'claim-hosts', hosts: [] })
  expect([asked(4000).length, asked(62_999).length, asked(63_000).length]).toEqual([0, 0, 2])
  // It was only off, and is back.
  w.learn('host', arpOf(hostIp))
  expect(w.outs()).toMatchObject([{ out: 'claim-hosts', hosts: [{ name: 'plc-7' }] }])
  expect(asked(200_000)).toEqual([])
})

test('a host that answers is not asked for again', () => {
  const { w, asked } = started(KEPT)
  expect(asked(0).length).toBe(2)
  w.learn('host', arpOf(hostIp))
  expect([...asked(1000), ...asked(2000), ...asked(90_000)]).toEqual([])
  expect(w.outs()).toEqual([])
})

test('without a gateway the question comes from a virtual address, which the answer must not leave the wire for', () => {
  const { w, asked } = started({ link: KEPT.link, ip4: KEPT.ip4, ip6: KEPT.ip6 })
  const [question, solicitation] = asked(0).map((f) => viewOf(f.subarray(14)))
  if (question === undefined || solicitation === undefined) throw new Error('not asked')
  expect([arp.senderLink(question, 0), arp.senderIp(question, 0)]).toEqual([box, v4('198.18.0.1')])
  const f = newFrameFor({ to: box, from: hostLink, tag: 0 }, ether.TYPE_IP6, ndp.ADVERTISEMENT_PACKET_BYTES)
  ndp.writeAdvertisement(f.view, f.at, {
    source: hostIp6,
    destination: ip6.source(solicitation, 0),
    target: hostIp6,
    targetLink: hostLink,
    solicited: true,
  })
  expect(w.tap(f.bytes)).toBe('dropped')
  expect(w.counters.values.get('bridge.drop.neighbour')).toBe(1)
  expect(w.outs()).toEqual([])
})

test('what a host says of itself is worth more than what was remembered or seen by others', () => {
  const w = world()
  w.learn('host', arpOf(hostIp))
  w.core.handle({ in: 'remembered', hosts: recall([{ ...KEPT, name: 'other', ip4: ['10.0.0.99'] }]) }, w.now)
  const [h] = w.core.hosts.all()
  expect([h?.heard, h?.ip4s, h?.name]).toEqual([true, [hostIp], 'other'])
})

test('a damaged memory is no memory, and never a fault', () => {
  for (const bad of [null, 7, 'x', {}, [null], [7], [{}], [{ link: 'x' }], [{ link: 5 }]])
    expect(recall(bad)).toEqual([])
  const odd = {
    link: KEPT.link,
    name: 'Not A Label',
    tag: -1,
    gateway: 9,
    gatewayIp: 'x',
    ip4: ['1.2.3.4', 5, 'x'],
    ip6: 'no',
  }
  expect(recall([odd])).toEqual([
    { link: hostLink, name: null, tag: 0, gatewayLink: null, gatewayIp: null, ip4s: [v4('1.2.3.4')], ip6s: [] },
  ])
})

test('another address by DHCP: the host keeps its virtual pair, and packets go to the new address at once', () => {
  const w = world()
  const link = [2, 0, 0, 0, 0, 5]
  const ack = (ip: typeof hostIp) => dhcp(5, link, ip, [53, 1, 5], false)
  w.learn('net', ack(hostIp))
  const far4 = v4('198.18.3.3')
  w.learn('host', arpOf(v4('10.0.0.40')))
  // The host has two addresses, and speaks to this peer from the one it is about to lose.
  w.core.handle({ in: 'tunnel-mtu', tunnel: 4, innerBytes: 1400, wholeBytes: 1400 }, w.now)
  w.core.handle(
    {
      in: 'tunnel-ends',
      tunnel: 4,
      ends: { leads: true, own: [{ base: vip4, bits: 32 }], peer: [{ base: far4, bits: 32 }] },
    },
    w.now,
  )
  expect(
    w.tap(
      ipFrame(
        up,
        packet4({ source: hostIp, destination: far4, protocol: 6, payload: tcp(1, 2, 16, new Uint8Array(0)) }),
      ),
    ),
  ).toBe('to-tunnel')
  const to = (): number => {
    expect(
      w.tunnel(packet4({ source: far4, destination: vip4, protocol: 17, payload: udp(1, 2, new Uint8Array(3)) })),
    ).toBe('to-host')
    return ip4.destination(viewOf(inner(w.slot(w.core.toHost))), 0)
  }
  expect(to()).toBe(hostIp)
  w.learn('net', ack(v4('10.0.0.77')))
  expect(to()).toBe(v4('10.0.0.77'))
  expect([...w.core.hosts.all()].map((h) => h.ip4s)).toEqual([[v4('10.0.0.77'), v4('10.0.0.40')]])
})

test('a host is known by whatever it says; the sources of its packets count only while nothing better is known', () => {
  const w = world(false)
  const other = parseLink('02:00:00:00:00:07') as LinkAddr
  const say = (source: typeof hostIp) =>
    w.learn(
      'host',
      ipFrame(
        { to: gateway, from: other, tag: 0 },
        packet4({ source, destination: v4('10.0.0.255'), protocol: 17, payload: udp(9, 9, new Uint8Array(1)) }),
      ),
    )
  say(v4('10.0.0.7'))
  expect(w.outs()).toMatchObject([{ out: 'claim-hosts', hosts: [{ name: 'host-020000000007' }] }])
  say(v4('172.16.0.1'))
  expect([...w.core.hosts.all()].map((h) => h.ip4s)).toEqual([[v4('10.0.0.7')]])
  w.learn(
    'host',
    ipFrame(
      { to: gateway, from: other, tag: 0 },
      packet6({
        source: v6('2001:db8::7'),
        destination: v6('ff02::16'),
        protocol: 17,
        payload: udp(9, 9, new Uint8Array(1)),
      }),
    ),
  )
  expect([...w.core.hosts.all()].map((h) => h.ip6s)).toEqual([[v6('2001:db8::7')]])
})

test('an address that a host was about to take is asked for a moment later: it may not use it for a long time', () => {
  const w = world()
  const target = v6('fd77::55')
  const dad = newFrameFor({ to: gateway, from: hostLink, tag: 0 }, ether.TYPE_IP6, ndp.SOLICITATION_PACKET_BYTES)
  ndp.writeSolicitation(dad.view, dad.at, { source: v6('::'), target, sourceLink: hostLink })
  w.learn('host', dad.bytes)
  expect([...w.core.hosts.all()].map((h) => h.ip6s)).toEqual([[]])
  const asked = (ms: number): readonly Uint8Array[] => {
    w.tick(ms)
    return w.outs().flatMap((o) => (o.out === 'to-host' ? [o.frame] : []))
  }
  expect(asked(1499)).toEqual([])
  const [question, ...more] = asked(1500)
  expect(more).toEqual([])
  expect(ndp.target(viewOf(question ?? new Uint8Array(0)), 14 + 40)).toEqual(target)
  const na = newFrameFor({ to: gateway, from: hostLink, tag: 0 }, ether.TYPE_IP6, ndp.ADVERTISEMENT_PACKET_BYTES)
  ndp.writeAdvertisement(na.view, na.at, {
    source: target,
    destination: v6('fd00::1'),
    target,
    targetLink: hostLink,
    solicited: true,
  })
  w.learn('host', na.bytes)
  expect([...w.core.hosts.all()].map((h) => h.ip6s)).toEqual([[target]])
  expect(w.outs()).toMatchObject([{ out: 'claim-hosts', hosts: [{ families: 3 }] }])
  expect([...asked(2500), ...asked(3500), ...asked(90_000)]).toEqual([])
})

test('an address that it did not get after all is asked for three times', () => {
  const w = world()
  const dad = newFrameFor({ to: gateway, from: hostLink, tag: 0 }, ether.TYPE_IP6, ndp.SOLICITATION_PACKET_BYTES)
  ndp.writeSolicitation(dad.view, dad.at, { source: v6('::'), target: v6('fd77::55'), sourceLink: hostLink })
  w.learn('host', dad.bytes)
  const counts = [1500, 2500, 3500, 4500, 90_000, 200_000].map((ms) => {
    w.tick(ms)
    return w.outs().filter((o) => o.out === 'to-host').length
  })
  expect(counts).toEqual([1, 1, 1, 0, 0, 0])
})

test('what well-known hosts send is copied no more; of a host of one family a moment longer', () => {
  const w = world(false)
  expect(w.core.hosts.settled(w.now)).toEqual(null)
  w.learn('host', arpOf(hostIp))
  expect(w.core.hosts.settled(w.now)).toEqual(null)
  expect(w.core.hosts.settled(instant(9999))).toEqual(null)
  expect(w.core.hosts.settled(instant(10_000))).toEqual([hostLink])
  expect(w.core.hosts.settled(instant(20_000))).toEqual(null)
})
