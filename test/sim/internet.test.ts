import { expect, test } from 'vitest'
import { type Endpoint, endpointText } from '#ntm-lib/addr/endpoint.ts'
import type { Via } from '#ntm-lib/addr/via.ts'
import { type Instant, instant, millis, seconds } from '#ntm-lib/base/time.ts'
import { endpointOf } from '#test/support/route.ts'
import { ADDRESS_RESTRICTED, FULL_CONE, type GateKind, Nat4, PORT_RESTRICTED, SYMMETRIC } from './gate.ts'
import { Internet, type Program, Realm } from './internet.ts'
import { at, firewalled, ipOf, KINDS, natted, placeOf } from './places.ts'

const A = endpointOf('198.51.100.7:1000')
const A_OTHER_PORT = endpointOf('198.51.100.7:2000')
const B = endpointOf('198.51.100.8:1000')
const INSIDE = endpointOf('192.168.1.2:4330')

test.each([
  ['full cone', FULL_CONE, [true, true, true]],
  ['address-restricted', ADDRESS_RESTRICTED, [true, true, false]],
  ['port-restricted', PORT_RESTRICTED, [true, false, false]],
  ['symmetric', SYMMETRIC, [true, false, false]],
] as const)('rfc4787 §5: a %s NAT lets in whom it should', (_, kind, lets) => {
  const nat = natOf(kind)
  const outer = nat.out(INSIDE, A, T0)
  expect([A, A_OTHER_PORT, B].map((from) => nat.in(from, outer, T0) !== null)).toEqual(lets)
})

test('rfc4787 §4.1: only a symmetric NAT gives every destination another port', () => {
  for (const [kind, same] of [
    [FULL_CONE, true],
    [PORT_RESTRICTED, true],
    [SYMMETRIC, false],
  ] as const) {
    const nat = natOf(kind)
    expect(nat.out(INSIDE, A, T0).port === nat.out(INSIDE, B, T0).port).toBe(same)
    expect(nat.out(INSIDE, A, T0)).toEqual(nat.out(INSIDE, A, T0))
  }
})

test('a mapping lives from packets out, not from packets in, and is another one afterwards', () => {
  const nat = natOf(PORT_RESTRICTED)
  const first = nat.out(INSIDE, A, T0)
  expect(nat.in(A, first, instant(29_999))).not.toBeNull()
  expect(nat.in(A, first, instant(30_001))).toBeNull()
  expect(nat.out(INSIDE, A, instant(31_000)).port).not.toBe(first.port)
})

test('two boxes at every kind of place reach what such a place reaches', () => {
  for (const kind of KINDS) {
    const net = new Internet()
    const server = person(net, 'server')
    net.plug('server', 'eth0', at(net.core, '198.51.100.1', '2001:db8:1000::1'))
    const box = person(net, 'box')
    net.plug('box', 'eth0', placeOf(net, kind, 5))
    box.send(endpointOf('198.51.100.1:4330'))
    box.send(endpointOf('[2001:db8:1000::1]:4330'))
    net.wait(seconds(1))
    const four = kind !== 'v6-only' && kind !== 'v6 firewall'
    const six = ['none', 'v6-only', 'v6 firewall'].includes(kind)
    expect(server.heard.map((h) => typeof h.from.ip === 'number').sort(), kind).toEqual(
      [...(six ? [false] : []), ...(four ? [true] : [])].sort(),
    )
    for (const h of server.heard) server.send(h.from)
    net.wait(seconds(1))
    expect(box.heard, `${kind}: answers come back`).toHaveLength(server.heard.length)
    // And nobody who was not asked gets in, where something guards the place.
    const stranger = person(net, 'stranger')
    net.plug('stranger', 'eth0', at(net.core, '198.51.100.66', '2001:db8:1066::1'))
    for (const h of server.heard) stranger.send(h.from)
    net.wait(seconds(1))
    const open = ['none', 'v4-only', 'v6-only', 'full cone'].includes(kind)
    expect(box.heard.length, `${kind}: a stranger`).toBe(server.heard.length * (open ? 2 : 1))
  }
})

test('two ends behind port-restricted NATs or filters meet when both send, and only then', () => {
  for (const six of [false, true]) {
    const net = new Internet()
    const [a, b] = [person(net, 'a'), person(net, 'b')]
    const place = (nr: number) =>
      six
        ? at(firewalled(net, `home${nr}`, nr), `2001:db8:${nr}::2`)
        : at(natted(net, `home${nr}`, nr, PORT_RESTRICTED), '192.168.1.2')
    net.plug('a', 'eth0', place(1))
    net.plug('b', 'eth0', place(2))
    const [toA, toB] = six
      ? [endpointOf('[2001:db8:1::2]:4330'), endpointOf('[2001:db8:2::2]:4330')]
      : [endpointOf('203.0.113.1:40000'), endpointOf('203.0.113.2:40000')]
    a.send(toB)
    net.wait(seconds(1))
    expect(b.heard).toHaveLength(0)
    b.send(toA)
    net.wait(seconds(1))
    expect(a.heard).toHaveLength(1)
    a.send(toB)
    net.wait(seconds(1))
    expect(b.heard).toHaveLength(1)
  }
})

test('the kernel takes the best interface of the family, a named way only its own, and a lost one nothing', () => {
  const net = new Internet()
  const server = person(net, 'server')
  net.plug('server', 'eth0', at(net.core, '198.51.100.1'))
  const box = person(net, 'box')
  net.replug('box', {
    wlan0: { ...at(net.core, '203.0.113.1'), metric: 10 },
    wwan0: { ...at(net.core, '203.0.113.2'), metric: 20 },
  })
  const to = endpointOf('198.51.100.1:4330')
  const lte: Via = { ifindex: 2, ip: ipOf('203.0.113.2') }
  box.send(to)
  box.send(to, lte)
  net.wait(seconds(1))
  net.unplug('box', 'wwan0')
  box.send(to, lte)
  net.wait(seconds(1))
  expect(server.heard.map((h) => endpointText(h.from))).toEqual(['203.0.113.1:4330', '203.0.113.2:4330'])
  expect(box.plugged).toBe(2)
})

test('delays are those of the two sites, a private network stands where its outermost gate is', () => {
  const net = new Internet()
  const server = person(net, 'server')
  net.plug('server', 'eth0', at(net.core, '198.51.100.1'))
  const box = person(net, 'box')
  net.plug('box', 'eth0', placeOf(net, 'double NAT', 9))
  net.delay('server', 'carrier9', millis(37))
  box.send(endpointOf('198.51.100.1:4330'))
  net.wait(seconds(1))
  expect(server.heard.map((h) => h.at)).toEqual([37])
})

test('neighbours meet inside, unless the access point keeps them apart; a hairpin brings them back', () => {
  for (const [isolated, hairpin] of [
    [false, false],
    [true, false],
    [true, true],
  ] as const) {
    const net = new Internet()
    const home = new Realm('home', net.core, { 4: new Nat4(v4('203.0.113.1'), { ...FULL_CONE, hairpin }) })
    home.isolated = isolated
    const [a, b] = [person(net, 'a'), person(net, 'b')]
    net.plug('a', 'eth0', at(home, '192.168.1.2'))
    net.plug('b', 'eth0', at(home, '192.168.1.3'))
    b.send(endpointOf('198.51.100.1:4330'))
    net.wait(seconds(1))
    a.send(endpointOf('192.168.1.3:4330'))
    a.send(endpointOf('203.0.113.1:40000'))
    net.wait(seconds(1))
    const expected = [...(isolated ? [] : ['192.168.1.2:4330']), ...(hairpin ? ['203.0.113.1:40001'] : [])]
    expect(b.heard.map((h) => endpointText(h.from))).toEqual(expected)
  }
})

test('what a fault hits is gone and nobody is told', () => {
  const net = new Internet()
  const server = person(net, 'server')
  net.plug('server', 'eth0', at(net.core, '198.51.100.1'))
  const box = person(net, 'box')
  net.plug('box', 'eth0', at(net.core, '203.0.113.1'))
  const mend = net.fault((p) => p.sites.includes('server'))
  box.send(endpointOf('198.51.100.1:4330'))
  net.wait(seconds(1))
  mend()
  box.send(endpointOf('198.51.100.1:4330'))
  net.wait(seconds(1))
  expect(server.heard).toHaveLength(1)
  expect(net.captured).toHaveLength(2)
})

type Heard = { readonly from: Endpoint; readonly at: Instant }

/** Somebody with a UDP socket. */
class Person implements Program {
  readonly name: string
  readonly heard: Heard[] = []
  plugged = 0
  readonly #out: { to: Endpoint; bytes: Uint8Array; via: Via | null }[] = []

  constructor(name: string) {
    this.name = name
  }

  send(to: Endpoint, via: Via | null = null): void {
    this.#out.push({ to, bytes: new Uint8Array(32), via })
  }

  handle(from: Endpoint, _: Uint8Array, at: Instant): void {
    this.heard.push({ from, at })
  }

  replugged(): void {
    this.plugged++
  }

  tick(): void {}

  deadline(): null {
    return null
  }

  poll() {
    return this.#out.shift() ?? null
  }
}

function person(net: Internet, name: string): Person {
  const p = new Person(name)
  net.run(p)
  return p
}

const natOf = (kind: GateKind): Nat4 => new Nat4(v4('203.0.113.1'), kind)

function v4(text: string) {
  const ip = ipOf(text)
  if (typeof ip !== 'number') throw new Error('IPv4')
  return ip
}

const T0 = instant(0)
