import { expect, test } from 'vitest'
import { ipText } from '#ntm-lib/addr/ip.ts'
import type { Ip4 } from '#ntm-lib/addr/ip4.ts'
import { ip4Text } from '#ntm-lib/addr/ip4.ts'
import { type LinkAddr, linkText, parseLink } from '#ntm-lib/addr/link.ts'
import * as arp from '#ntm-lib/packet/arp.ts'
import { checksumsHold, icmp, packet4, packet6, udp, viewOf } from '#ntm-lib/packet/build.ts'
import * as ether from '#ntm-lib/packet/ether.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import {
  box,
  gateway,
  hostIp,
  hostIp6,
  hostLink,
  inner,
  server4,
  server6,
  up,
  v4,
  v6,
  vip4,
  vip6,
  world,
} from '#test/support/bridge-world.ts'
import { ipFrame, newFrameFor } from './frame.ts'

const own = v4('10.0.0.2')
const LAN = [{ own, bits: 24 }]

/** A bridge that has begun, and frames of it to the host's side by time. */
function begun(subnets = LAN) {
  const w = world(false)
  const frames: Uint8Array[] = []
  const drain = (): void => {
    for (const o of w.outs()) {
      if (o.out === 'to-host') frames.push(o.frame)
      if (o.out === 'to-net') throw new Error('something for the LAN')
      if (o.out !== 'claim-hosts') continue
      w.core.handle({ in: 'granted', hosts: o.hosts.map(({ host }) => ({ host, vip4, vip6 })) }, w.now)
    }
  }
  w.core.handle({ in: 'subnets', subnets }, w.now)
  const t = {
    w,
    /** As the wire does: wakes at every deadline on the way; what went to the host's side meanwhile. */
    until: (ms: number): Uint8Array[] => {
      for (let d = w.core.deadline(); d !== null && d <= ms; d = w.core.deadline()) {
        w.tick(d)
        drain()
      }
      w.tick(ms)
      drain()
      return frames.splice(0)
    },
    /** Somebody on the host's side says a word by which only its link address is learnt. */
    mutter: () => {
      w.learn(
        'host',
        ipFrame(
          up,
          packet6({ source: v6('fe80::5'), destination: v6('ff02::2'), protocol: 58, payload: icmp(133, 0, 0) }),
        ),
      )
      drain()
    },
    visit: (four = true) => {
      const payload = udp(1000, 2000, Uint8Array.of(1, 2, 3))
      const verdict = w.tunnel(
        four
          ? packet4({ source: server4, destination: vip4, protocol: 17, payload })
          : packet6({ source: server6, destination: vip6, protocol: 17, payload }),
      )
      drain()
      return verdict
    },
  }
  return t
}
const asked = (frames: readonly Uint8Array[]): Ip4[] => frames.filter(isArp).map((f) => arp.targetIp(viewOf(f), 14))
const isArp = (f: Uint8Array): boolean => viewOf(f).getUint16(12) === ether.TYPE_ARP
const says = (ip: Ip4, link: LinkAddr = hostLink): Uint8Array => {
  const f = newFrameFor({ to: box, from: link, tag: 0 }, ether.TYPE_ARP, arp.ARP_BYTES)
  arp.write(f.view, f.at, { operation: arp.REPLY, senderLink: link, senderIp: ip, targetLink: box, targetIp: own })
  return f.bytes
}

test('at the beginning every other address of the own subnet is asked for, paced, by everybody on the host’s side', () => {
  const t = begun()
  expect(t.until(299)).toEqual([])
  const first = t.until(300)
  expect(asked(first).length).toBe(100)
  const all = [...asked(first), ...asked(t.until(1000))].map(ip4Text)
  expect([all.length, new Set(all).size, all[0], all.at(-1)]).toEqual([253, 253, '10.0.0.1', '10.0.0.254'])
  expect(all).not.toContain('10.0.0.2')
  const one = first.find(isArp)!
  const v = viewOf(one)
  expect(linkText(ether.destination(v, 0))).toBe('ff:ff:ff:ff:ff:ff')
  expect([arp.operation(v, 14), arp.senderLink(v, 14), arp.senderIp(v, 14), arp.targetLink(v, 14)]).toEqual([
    arp.REQUEST,
    box,
    own,
    0,
  ])
  const echo = first.filter((f) => !isArp(f))
  expect(echo.map((f) => [ipText(ip6.destination(viewOf(inner(f)), 0)), checksumsHold(inner(f))])).toEqual([
    ['ff02::1', true],
  ])
})

test('a host that talks from the beginning is not asked for, nor is anybody else', () => {
  const t = begun()
  t.until(100)
  t.w.learn('host', says(hostIp))
  expect(t.until(60_000)).toEqual([])
})

test('while nobody has an address it is repeated, ever more seldom; once one has, no more', () => {
  const t = begun()
  t.until(1000)
  const begins: number[] = []
  for (let s = 1; s < 3900; s++) if (asked(t.until(s * 1000)).length > 0) begins.push(s)
  // A pass of 253 takes a part of a second.
  const starts = begins.filter((s, i) => s !== (begins[i - 1] ?? -1) + 1)
  expect(starts).toEqual([31, 91, 211, 452, 932, 1532, 2132, 2732, 3333])
  t.w.learn('host', says(hostIp))
  expect(asked(t.until(20_000_000))).toEqual([])
})

test('subnets that are too large, or none, are not asked; one that comes later is', () => {
  const t = begun([{ own, bits: 16 }])
  expect(asked(t.until(1000))).toEqual([])
  t.w.core.handle({ in: 'subnets', subnets: [{ own, bits: 30 }] }, t.w.now)
  expect(asked(t.until(1300)).map(ip4Text)).toEqual(['10.0.0.1'])
  t.w.core.handle({ in: 'subnets', subnets: [{ own, bits: 30 }] }, t.w.now)
  expect(asked(t.until(2000))).toEqual([])
})

test('never told where, nobody is looked for, and a visitor is refused at once', () => {
  const w = world(false)
  w.learn('host', says(v4('0.0.0.0')))
  const [claim] = w.outs().flatMap((o) => (o.out === 'claim-hosts' ? o.hosts : []))
  w.core.handle({ in: 'granted', hosts: [{ host: claim!.host, vip4, vip6 }] }, w.now)
  w.tick(100_000)
  expect(w.outs().filter((o) => o.out === 'to-host')).toEqual([])
  expect(
    w.tunnel(packet4({ source: server4, destination: vip4, protocol: 17, payload: udp(1, 2, Uint8Array.of(1)) })),
  ).toBe('dropped')
})

for (const four of [true, false]) {
  test(`packets for a host without an address wait until it has answered (IPv${four ? 4 : 6})`, () => {
    const t = begun()
    t.until(5000)
    t.mutter()
    for (let i = 0; i < 3; i++) expect(t.visit(four)).toBe('consumed')
    const asking = t.until(5100)
    expect(asked(asking).length).toBe(200)
    if (four) t.w.learn('host', says(hostIp))
    else {
      const echo = inner(asking.find((f) => !isArp(f))!)
      const to = ip6.source(viewOf(echo), 0)
      const answer = packet6({
        source: hostIp6,
        destination: to,
        protocol: 58,
        payload: icmp(129, 0, viewOf(echo).getUint32(44)),
      })
      expect(t.w.tap(ipFrame({ to: gateway, from: hostLink, tag: 0 }, answer))).toBe('dropped')
      expect(t.w.counters.get('bridge.drop.sought')).toBe(1)
    }
    const got = t
      .until(5101)
      .filter((f) => !isArp(f))
      .map(inner)
    expect(got.length).toBe(3)
    for (const p of got) {
      expect(four ? ip4.destination(viewOf(p), 0) : ip6.destination(viewOf(p), 0)).toEqual(four ? hostIp : hostIp6)
      expect(checksumsHold(p)).toBe(true)
    }
    // From now on straight away.
    expect(t.visit(four)).toBe('to-host')
  })
}

test('a host that does not answer: its visitors wait a second and are refused, then at once, for half a minute', () => {
  const t = begun()
  t.until(5000)
  t.mutter()
  expect(t.visit()).toBe('consumed')
  t.until(5999)
  expect(t.w.counters.get('bridge.drop.no-host') ?? 0).toBe(0)
  t.until(6000)
  expect(t.w.counters.get('bridge.drop.no-host')).toBe(1)
  expect(t.visit()).toBe('dropped')
  t.until(34_999)
  expect(t.visit()).toBe('dropped')
  t.until(35_000)
  expect(t.visit()).toBe('consumed')
  expect(asked(t.until(35_050)).length).toBeGreaterThan(0)
})

test('what waits is bounded', () => {
  const t = begun()
  t.until(5000)
  t.mutter()
  expect(Array.from({ length: 12 }, () => t.visit()).filter((v) => v === 'consumed').length).toBe(8)
})

test('a router that answers for everybody has one address of these at the most, and loses none that it has told itself', () => {
  const t = begun()
  t.until(0)
  for (let n = 10; n < 60; n++) t.w.learn('host', says(v4(`10.0.0.${n}`)))
  const other = parseLink('02:00:00:00:00:06') as LinkAddr
  const f = newFrameFor({ to: gateway, from: other, tag: 0 }, ether.TYPE_ARP, arp.ARP_BYTES)
  arp.write(f.view, f.at, {
    operation: arp.REQUEST,
    senderLink: other,
    senderIp: v4('10.0.0.70'),
    targetLink: box,
    targetIp: own,
  })
  t.w.learn('host', f.bytes)
  t.w.learn('host', says(v4('10.0.0.71'), other))
  expect([...t.w.core.hosts.all()].map((h) => h.ip4s.map(ip4Text))).toEqual([['10.0.0.10'], ['10.0.0.70']])
})
