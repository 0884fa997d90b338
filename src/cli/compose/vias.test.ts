import { expect, test } from 'vitest'
import { type AddressState, type LinkState, type RouteState, RT_TABLE_MAIN } from '#io/rtnetlink.ts'
import { type Family, ipText, parseIp } from '#ntm-lib/addr/ip.ts'
import { parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { type ViaOptions, viasOf, type Ways } from './vias.ts'

const CABLE = link(2, 'cable')
const RADIO = link(3, 'radio')
const V4 = [address(2, '192.0.2.5'), address(3, '198.51.100.5')]
const V6 = [address(2, '2001:db8:a::5'), address(3, '2001:db8:b::5')]
const DEFAULTS4 = [route(4, 3, 600), route(4, 2, 100)]
const DEFAULTS6 = [route(6, 2, 1024), route(6, 3, 600)]
const TWO: Ways = { links: [CABLE, RADIO], addresses: [...V6, ...V4], routes: [...DEFAULTS4, ...DEFAULTS6] }

test('two uplinks of both families: by metric over both families', () => {
  expect(named(TWO)).toEqual(['cable 192.0.2.5', 'radio 198.51.100.5', 'radio 2001:db8:b::5', 'cable 2001:db8:a::5'])
})

test('the interface that the operator wants is first in both, and one that is not there changes nothing', () => {
  expect(named(TWO, { prefer: 'radio' }).map((v) => v.split(' ')[0])).toEqual(['radio', 'radio', 'cable', 'cable'])
  expect(named(TWO, { prefer: 'tape' })).toEqual(named(TWO))
})

test.each<[why: string, change: Partial<Ways>, options?: Partial<ViaOptions>]>([
  ['down', { links: [{ ...CABLE, up: false }, RADIO] }],
  ['without a carrier', { links: [{ ...CABLE, carrier: false }, RADIO] }],
  ['loopback', { links: [{ ...CABLE, loopback: true }, RADIO] }],
  ['our own', {}, { without: { interfaces: ['cable'], prefixes: [] } }],
  ['without an address', { addresses: [V4[1], V6[1]] as AddressState[] }],
  ['with link addresses only', { addresses: with2({ global: false }) }],
  ['with an address whose duplicates are being looked for', { addresses: with2({ tentative: true, usable: false }) }],
  [
    'with virtual addresses',
    {},
    { without: { interfaces: [], prefixes: [prefix('192.0.2.0/24'), prefix('2001:db8:a::/48')] } },
  ],
  ['without a route', { routes: [...DEFAULTS4, ...DEFAULTS6].filter((r) => r.ifindex !== 2) }],
  ['with a route in another table', { routes: routes2({ table: 100 }) }],
  ['with an unreachable default route', { routes: routes2({ unicast: false }) }],
])('an interface %s is no way out', (_, change, options) => {
  expect(named({ ...TWO, ...change }, options)).toEqual(['radio 198.51.100.5', 'radio 2001:db8:b::5'])
})

test('an optimistic address is of use; a deprecated one comes last, and is still there', () => {
  expect(named({ ...TWO, addresses: with2({ tentative: true, usable: true }) })).toEqual(named(TWO))
  expect(named({ ...TWO, addresses: with2({ deprecated: true }) })).toEqual([
    ...['radio 198.51.100.5', 'radio 2001:db8:b::5', 'cable 192.0.2.5', 'cable 2001:db8:a::5'],
  ])
})

test('an interface that only reaches its own network comes last, one that reaches nothing but itself not at all', () => {
  const connected = [to(route(4, 2, 0), '192.0.2.0/24'), to(route(6, 2, 256), '2001:db8:a::/64')]
  const radio = [...DEFAULTS4, ...DEFAULTS6].filter((r) => r.ifindex === 3)
  expect(named({ ...TWO, routes: [...connected, ...radio] })).toEqual([
    ...['radio 198.51.100.5', 'radio 2001:db8:b::5', 'cable 192.0.2.5', 'cable 2001:db8:a::5'],
  ])
  expect(named({ ...TWO, routes: connected })).toEqual(['cable 192.0.2.5', 'cable 2001:db8:a::5'])
  const own = [to(route(4, 2, 0), '192.0.2.5/32'), to(route(6, 2, 256), 'fe80::/64')]
  expect(named({ ...TWO, routes: own })).toEqual([])
})

test('several addresses of one interface: what the route asks for, global before local ones, lasting before temporary ones', () => {
  const addresses = [
    ...[address(2, '192.0.2.4'), address(2, '192.0.2.5'), address(2, 'fd00:1::5')],
    { ...address(2, '2001:db8:a::7'), temporary: true },
    address(2, '2001:db8:a::5'),
  ]
  const routes = [{ ...route(4, 2, 5), from: ip('192.0.2.5') }, route(6, 2, 5)]
  expect(named({ ...TWO, addresses, routes })).toEqual([
    ...['cable 192.0.2.5', 'cable 192.0.2.4'],
    ...['cable 2001:db8:a::5', 'cable 2001:db8:a::7', 'cable fd00:1::5'],
  ])
})

test('no more than sixteen', () => {
  const addresses = Array.from({ length: 40 }, (_, i) => address(2, `192.0.2.${i + 1}`))
  expect(named({ ...TWO, addresses }).length).toBe(16)
})

function named(ways: Ways, options: Partial<ViaOptions> = {}): string[] {
  const names = new Map(ways.links.map((l) => [l.ifindex, l.name]))
  const all: ViaOptions = { without: { interfaces: [], prefixes: [] }, prefer: null, ...options }
  return viasOf(ways, all).map((v) => `${names.get(v.ifindex)} ${ipText(v.ip)}`)
}

function with2(change: Partial<AddressState>): AddressState[] {
  return TWO.addresses.map((a) => (a.ifindex === 2 ? { ...a, ...change } : a))
}

function routes2(change: Partial<RouteState>): RouteState[] {
  return TWO.routes.map((r) => (r.ifindex === 2 ? { ...r, ...change } : r))
}

function link(ifindex: number, name: string): LinkState {
  return {
    ...{ ifindex, name, up: true, carrier: true, loopback: false },
    ...{ mtuBytes: 1500, linkAddr: null, master: null },
  }
}

function address(ifindex: number, text: string): AddressState {
  const flags = { global: true, tentative: false, usable: true, deprecated: false, temporary: false }
  return { ifindex, ip: ip(text), bits: text.includes(':') ? 64 : 24, ...flags }
}

function route(family: Family, ifindex: number, metric: number): RouteState {
  return { family, to: null, via: null, ifindex, table: RT_TABLE_MAIN, metric, from: null, unicast: true }
}

function to(r: RouteState, text: string): RouteState {
  return { ...r, to: prefix(text) }
}

function ip(text: string) {
  return parseIp(text) ?? fail(text)
}

function prefix(text: string) {
  return parsePrefix(text) ?? fail(text)
}

function fail(text: string): never {
  throw new Error(text)
}
