import fc from 'fast-check'
import { expect, test } from 'vitest'
import { statusText } from './status-text.ts'

const HEAD = { pid: 7, upSeconds: 4000, name: 'x.ntm.example' }
const COORDINATOR = { state: 'registered', at: ['192.0.2.1:4330'], lastError: null }
const PATH = {
  peer: 'plc-7.ntm.example',
  state: 'open',
  way: 'relay',
  why: 'both-natted',
  lookedFor: 2,
  at: '192.0.2.9:4330',
  rttMs: 12.5,
  bytesIn: 1_500_000,
  bytesOut: 900,
  ageSeconds: 61,
  lastError: 'silent',
}

test("a terminal's status", () => {
  const status = {
    ...HEAD,
    role: 'node',
    virtual: ['198.18.0.2', 'fd12::2'],
    device: 'ntm0',
    coordinator: COORDINATOR,
    names: { mode: 'file', listen: '127.0.0.43:53', zones: ['ntm.example'], servers: ['192.0.2.53:53'] },
    paths: [PATH, { ...PATH, peer: 'desk', way: 'direct', why: null, lookedFor: 0, lastError: null }],
    troubles: [{ about: 'x.ntm.example', what: 'peer-silent: gone', agoSeconds: 5 }],
    more: { later: true },
  }
  expect(statusText(status)).toBe(`node x.ntm.example   process 7, up 1 h 6 min
  virtual      198.18.0.2  fd12::2   on ntm0
  coordinator  registered   192.0.2.1:4330
  names        ntm.example   asked at 127.0.0.43:53 (file)   others: 192.0.2.53:53
  path         plc-7.ntm.example   open   relay 192.0.2.9:4330   12.5 ms   in 1.5 MB out 900 B
               1 min
               why a relay: both ends are behind NATs or firewalls, no direct way has answered
               looked for a direct way 2 times   last error: silent
  path         desk   open   direct 192.0.2.9:4330   12.5 ms   in 1.5 MB out 900 B   1 min
  trouble      x.ntm.example   peer-silent: gone   5 s ago
  more         {"later":true}
`)
})

test("a bridge's status", () => {
  const status = {
    ...HEAD,
    role: 'bridge',
    virtual: ['198.18.0.3'],
    coordinator: { ...COORDINATOR, state: 'idle', lastError: 'does not answer' },
    zones: ['ntm.example'],
    wire: { state: 'down', host: 'host0', net: 'net0', missing: 'net0' },
    hosts: [
      {
        name: 'plc',
        linkAddr: '02:00',
        virtual: ['198.18.0.4', 'fd12::4'],
        real: ['10.0.0.4'],
        heard: true,
        seenSecondsAgo: 3,
      },
      { name: '', linkAddr: '02:00:00:00:00:07', virtual: [], real: [], heard: false, seenSecondsAgo: 0 },
    ],
    paths: [],
  }
  expect(statusText(status)).toBe(`bridge x.ntm.example   process 7, up 1 h 6 min
  virtual      198.18.0.3
  zones        ntm.example
  coordinator  idle   192.0.2.1:4330   does not answer
  wire         down   host0 to net0   waits for net0
  host         plc   198.18.0.4 fd12::4   is 10.0.0.4   heard 3 s ago
  host         02:00:00:00:00:07   no virtual addresses yet   is at no known address   not heard yet
`)
})

test("a terminator's, a relay's and a coordinator's status", () => {
  const tt = {
    ...{ ...HEAD, role: 'tt', edge: { uplink: 'eth0', port: 'tun', families: [4, 6], resolvers: ['192.0.2.53:53'] } },
    tables: { customers: 2, flows: 9, servers: 5, serversEach: 16_384 },
  }
  expect(statusText(tt)).toContain(`
  edge         eth0 by tun   IPv4 IPv6   asks 192.0.2.53:53
  in use       2 customers   5 servers (16384 each at most)   9 flows
`)
  const relay = {
    ...{ ...HEAD, role: 'relay', at: ['192.0.2.9:4330'] },
    forwarding: { paths: 3, mostPaths: 4096, bound: 5, pending: 1, loadPercent: 4, datagrams: 12, bytes: 9000 },
    limits: { mbitPerSecond: 100, packetsPerSecond: 0, echoesPerSecond: 1000 },
    refused: { limit: 2, unbound: 7 },
  }
  expect(statusText(relay)).toContain(`
  reached at   192.0.2.9:4330
  forwarding   3 of 4096 paths   5 ends bound, 1 not proven yet   load 4 %   12 datagrams, 9.0 kB
  limits       100 Mbit/s, 1000 echoes/s
  refused      2 limit, 7 unbound
`)
  const present = [
    { name: 'b1', role: 'bridge', at: '203.0.113.2:4330', ip4: 'natted', ip6: 'none', seenSecondsAgo: 4, hosts: 2 },
    {
      name: 'r1',
      role: 'relay',
      at: '192.0.2.9:4330',
      ip4: 'open',
      ip6: 'open',
      seenSecondsAgo: 1,
      loadPercent: 4,
      paths: 3,
    },
  ]
  const coordinator = {
    ...{ ...HEAD, role: 'coordinator', zones: ['ntm.example'], optimise: 'ice' },
    federation: [
      { zone: 'b.example', up: true },
      { zone: 'c.example', up: false },
    ],
    members: { known: 5, revoked: 1, present },
    ...{ contracts: 4, relayed: 3, underWay: 0, directions: { new: 4 }, refused: {} },
  }
  expect(statusText(coordinator)).toBe(`coordinator x.ntm.example   process 7, up 1 h 6 min
  zones        ntm.example
  other zone   b.example   its coordinator answers
  other zone   c.example   out of reach
  members      2 of 5 here   1 revoked
  bridge       b1   203.0.113.2:4330   IPv4 natted   2 hosts   seen 4 s ago
  relay        r1   192.0.2.9:4330   IPv4 open, IPv6 open   3 paths, load 4 %   seen 1 s ago
  routes       route.optimise = ice
  contracts    4 in force   3 with a relay   0 directions and promises under way
  directions   4 new
  refused      none
`)
})

test("another version's status is shown as far as it is understood", () => {
  const keys = fc.constantFrom('role', 'names', 'paths', 'coordinator', 'virtual', 'hosts', 'members', 'limits', 'x')
  fc.assert(
    fc.property(fc.dictionary(keys, fc.jsonValue()), (s) => {
      expect(statusText(s)).toMatch(/\n$/)
    }),
  )
})
