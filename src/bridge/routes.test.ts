import { expect, test } from 'vitest'
import { host, parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { icmp, packet4, packet6, tcp, udp, viewOf } from '#ntm-lib/packet/build.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import { hostIp, hostIp6, server4, up, v4, v6, vip4, vip6, world } from '#test/support/bridge-world.ts'
import { ipFrame } from './frame.ts'
import { Routes } from './routes.ts'

// A far host behind another bridge, which speaks first: nobody here asked for it.

const [far4, far6] = [v4('198.18.3.3'), v6('fd00:0:0::33')]
const other4 = v4('198.18.0.10')
const own = [host(vip4), host(vip6)]
const peer = [host(far4), host(far6)]
const SYN = tcp(4000, 22, 2, new Uint8Array(0), Uint8Array.of(2, 4, 0x05, 0xb4))

function visited(ends = { leads: true, own, peer }) {
  const w = world()
  w.core.handle({ in: 'tunnel-mtu', tunnel: 4, innerBytes: 1400, wholeBytes: 1400 }, w.now)
  w.core.handle({ in: 'tunnel-ends', tunnel: 4, ends }, w.now)
  // The host is known by what it said, not by what it asked of us.
  for (const h of w.core.hosts.all()) h.ip6s = [hostIp6]
  return w
}
const answer4 = ipFrame(
  up,
  packet4({ source: hostIp, destination: far4, protocol: 6, payload: tcp(22, 4000, 0x12, new Uint8Array(0)) }),
)
const answer6 = ipFrame(
  up,
  packet6({ source: hostIp6, destination: far6, protocol: 6, payload: tcp(22, 4000, 0x12, new Uint8Array(0)) }),
)

test('a host that is spoken to answers through the same tunnel, in both families, and nobody is asked', () => {
  const w = visited()
  expect(w.tunnel(packet4({ source: far4, destination: vip4, protocol: 6, payload: SYN }))).toBe('to-host')
  const frame = w.slot(w.core.toHost)
  expect([ip4.source(viewOf(frame), 14), ip4.destination(viewOf(frame), 14)]).toEqual([far4, hostIp])
  // 1400 less two headers: it is to be clamped although nothing went out yet.
  expect(viewOf(frame).getUint16(14 + 42)).toBe(1360)
  expect(w.tap(answer4)).toBe('to-tunnel')
  expect(w.core.toTunnel.tunnel).toBe(4)
  expect(w.tunnel(packet6({ source: far6, destination: vip6, protocol: 6, payload: SYN }))).toBe('to-host')
  expect(w.tap(answer6)).toBe('to-tunnel')
  expect(ip6.source(viewOf(w.slot(w.core.toTunnel)), 0)).toEqual(vip6)
  expect(w.outs()).toEqual([])
})

test('a path that does not lead yet, or any more, is no way back; the coordinator is asked then', () => {
  const w = visited({ leads: false, own, peer })
  expect(w.tap(answer4)).toBe('consumed')
  expect(w.outs()).toMatchObject([
    { out: 'direct', sought: { by: 'vip', vip: far4 }, why: 'data', sources: [vip4, vip6] },
  ])
  w.core.handle({ in: 'tunnel-ends', tunnel: 4, ends: { leads: true, own, peer } }, w.now)
  expect(w.tap(answer4)).toBe('to-tunnel')
  w.core.handle({ in: 'tunnel-ends', tunnel: 4, ends: { leads: false, own, peer } }, w.now)
  expect(w.tap(answer6)).toBe('consumed')
})

test('a newer path takes over, and the older one is there again when that goes', () => {
  const w = visited()
  expect(w.tap(answer4)).toBe('to-tunnel')
  w.core.handle({ in: 'tunnel-mtu', tunnel: 5, innerBytes: 1400, wholeBytes: 1400 }, w.now)
  w.core.handle({ in: 'tunnel-ends', tunnel: 5, ends: { leads: true, own, peer } }, w.now)
  expect([w.tap(answer4), w.core.toTunnel.tunnel]).toEqual(['to-tunnel', 5])
  w.core.handle({ in: 'tunnel-gone', tunnel: 5 }, w.now)
  expect([w.tap(answer4), w.core.toTunnel.tunnel]).toEqual(['to-tunnel', 4])
  w.core.handle({ in: 'tunnel-gone', tunnel: 4 }, w.now)
  expect(w.tap(answer4)).toBe('consumed')
})

test('a host that the contract does not list asks for one that does', () => {
  const w = visited({ leads: true, own: [host(other4)], peer })
  expect(w.tap(answer4)).toBe('consumed')
  const [direct] = w.outs()
  expect(direct).toMatchObject({ out: 'direct', sources: [vip4, vip6] })
  // The new contract's path leads before the direction is answered.
  w.core.handle({ in: 'tunnel-mtu', tunnel: 6, innerBytes: 1400, wholeBytes: 1400 }, w.now)
  w.core.handle({ in: 'tunnel-ends', tunnel: 6, ends: { leads: true, own: [...own, host(other4)], peer } }, w.now)
  const id = direct?.out === 'direct' ? direct.id : 0
  w.core.handle({ in: 'directed', id, result: { ok: true, vip4: far4, vip6: far6, ttlSeconds: 60, tunnel: 6 } }, w.now)
  expect(w.outs()).toMatchObject([{ out: 'to-tunnel', tunnel: 6 }])
  expect(w.tap(answer4)).toBe('to-tunnel')
})

test("a terminator's pool is no route: which server is behind which terminator only a direction tells", () => {
  const pool = ['198.19.0.0/16', 'fd00:0:1:1::/64'].flatMap((p) => parsePrefix(p) ?? [])
  const w = visited({ leads: true, own, peer: pool })
  const packet = packet4({ source: hostIp, destination: server4, protocol: 17, payload: udp(1, 2, new Uint8Array(1)) })
  expect(w.tap(ipFrame(up, packet))).toBe('consumed')
  expect(w.outs()).toMatchObject([{ out: 'direct' }])
  for (const { base } of pool) expect(w.core.routes.find(base, vip4)).toBe(null)
})

test('what is told again changes nothing, so that flows stay known', () => {
  const r = new Routes()
  r.ends(4, { leads: true, own, peer })
  const { changes, moves } = r
  r.ends(4, { leads: true, own, peer })
  expect([r.changes, r.moves]).toEqual([changes, moves])
  r.ends(5, { leads: true, own, peer })
  expect(r.moves).toBe(moves + 1 * peer.length)
  expect(r.find(far4, vip4)?.ref).toBe(5)
  expect(r.find(far4, other4)).toBe(null)
})

test('the far end hears at once that a host has no address of that family; not about errors, and not without end', () => {
  const w = visited()
  for (const h of w.core.hosts.all()) h.ip6s = []
  const asked = packet6({ source: far6, destination: vip6, protocol: 6, payload: SYN })
  expect(w.tunnel(asked)).toBe('dropped')
  const [said] = w.outs()
  if (said?.out !== 'to-tunnel') throw new Error('nothing was said')
  expect(said.tunnel).toBe(4)
  const v = viewOf(said.packet)
  expect([ip6.source(v, 0), ip6.destination(v, 0), v.getUint8(40), v.getUint8(41)]).toEqual([vip6, far6, 1, 3])
  expect(said.packet.slice(48)).toEqual(asked)
  for (const h of w.core.hosts.all()) h.ip4s = []
  expect(
    w.tunnel(packet4({ source: far4, destination: vip4, protocol: 17, payload: udp(1, 2, new Uint8Array(9)) })),
  ).toBe('dropped')
  const [also] = w.outs()
  expect(also).toMatchObject({ out: 'to-tunnel', tunnel: 4 })
  expect(also?.out === 'to-tunnel' && [...also.packet.slice(20, 22)]).toEqual([3, 1])
  const about = packet4({ source: vip4, destination: far4, protocol: 17, payload: udp(1, 2, new Uint8Array(9)) })
  const error = icmp(3, 1, 0, about)
  expect(w.tunnel(packet4({ source: far4, destination: vip4, protocol: 1, payload: error }))).toBe('dropped')
  expect(w.outs()).toEqual([])
  for (let i = 0; i < 1000; i++) w.tunnel(asked)
  expect(w.outs().length).toBeLessThan(200)
})
