import { expect } from 'vitest'
import { BridgeCore } from '#bridge/core.ts'
import { ipFrame, udpFrame, type Way } from '#bridge/frame.ts'
import type { BridgeOut } from '#bridge/types.ts'
import { addressRecord, buildAnswer, buildQuery, parseMessage, RCODE, TYPE } from '#dnsfn/message.ts'
import { type Ip4, parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { type Ip6, parseIp6 } from '#ntm-lib/addr/ip6.ts'
import { type LinkAddr, parseLink } from '#ntm-lib/addr/link.ts'
import { parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { type Instant, instant } from '#ntm-lib/base/time.ts'
import { packet4, packet6, udp, viewOf } from '#ntm-lib/packet/build.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { slotAt, superBatch } from '#ntm-lib/ports/packet-port.ts'

/** A BridgeCore with one host behind it, its gateway and resolver, and two servers behind tunnels. No time passes by itself. */

const need = <T>(value: T | null | undefined): T => {
  if (value === null || value === undefined) throw new Error('the test asks for what is not there')
  return value
}

export const v4 = (t: string): Ip4 => need(parseIp4(t))
export const v6 = (t: string): Ip6 => need(parseIp6(t))
export const hostLink = parseLink('02:00:00:00:00:05') as LinkAddr
export const gateway = parseLink('02:00:00:00:00:01') as LinkAddr
export const box = parseLink('02:00:00:00:00:bb') as LinkAddr
export const hostIp = v4('10.0.0.5')
export const hostIp6 = v6('fd77::5')
export const resolver = v4('10.0.0.1')
export const [vip4, vip6] = [v4('198.18.0.9'), v6('fd00:0:0::9')]
export const [server4, server6] = [v4('198.19.0.7'), v6('fd00:0:1:1::7')]
export const up: Way = { to: gateway, from: hostLink, tag: 0 }
export const TAG = 0x81000005

export function query(id: number, name: string, way: Way = up): Uint8Array {
  const bytes = need(buildQuery({ id, name, type: TYPE.A, recursionDesired: true }))
  return udpFrame(way, { source: hostIp, sourcePort: 4000, to: resolver, toPort: 53 }, bytes)
}

export function reply(
  asked: Uint8Array,
  ips: readonly (Ip4 | Ip6)[],
  way: Way = { to: hostLink, from: gateway, tag: 0 },
): Uint8Array {
  const q = need(parseMessage(asked))
  const bytes = buildAnswer(q, {
    rcode: RCODE.NOERROR,
    answers: ips.map((ip) => addressRecord(need(q.question).name, ip, 300)),
  })
  return udpFrame(way, { source: resolver, sourcePort: 53, to: hostIp, toPort: 4000 }, bytes)
}

export function dhcp(op: number, client: number[], yours: Ip4, options: number[], fromHost: boolean): Uint8Array {
  const b = new Uint8Array(240 + options.length)
  b.set([op === 5 ? 2 : 1, 1, 6, 0])
  viewOf(b).setUint32(16, yours)
  b.set(client, 28)
  b.set([0x63, 0x82, 0x53, 0x63], 236)
  b.set(options, 240)
  const [source, to] = fromHost ? [v4('0.0.0.0'), v4('255.255.255.255')] : [v4('10.0.0.1'), hostIp]
  return udpFrame(
    fromHost ? up : { to: hostLink, from: gateway, tag: 0 },
    { source, sourcePort: fromHost ? 68 : 67, to, toPort: fromHost ? 67 : 68 },
    b,
  )
}

/** The IP packet of a frame with at most one tag. */
export const inner = (frame: Uint8Array): Uint8Array => frame.slice(viewOf(frame).getUint16(12) === 0x8100 ? 18 : 14)

/** The one output there is, of the kind expected. */
export function only(
  outs: readonly BridgeOut[],
  kind: BridgeOut['out'],
): { readonly frame: Uint8Array; readonly id: number } {
  expect(outs.map((o) => o.out)).toEqual([kind])
  return outs[0] as never
}

export function world(granted = true) {
  let n = 0
  const random = { bytes: (count: number) => Uint8Array.from({ length: count }, () => n++ & 0xff) }
  const counters = new CounterMap()
  const virtual = ['198.18.0.0/16', '198.19.0.0/16', 'fd00::/48', 'fd00:0:1:1::/64'].map((p) => need(parsePrefix(p)))
  const core = new BridgeCore({ box, virtual, holdMillis: 2000 }, random, counters)
  const b = superBatch(1)
  const put = (bytes: Uint8Array, gso = 0): void => {
    b.arena.fill(0)
    b.gso[0] = gso
    b.arena.set(bytes, slotAt(b, 0))
    b.lens[0] = bytes.length
    b.count = 1
  }
  const w = {
    core,
    counters,
    batch: b,
    now: instant(0) as Instant,
    tap: (frame: Uint8Array, gso = 0) => {
      put(frame, gso)
      return core.fromTap(b, 0, w.now)
    },
    tunnel: (packet: Uint8Array, gso = 0) => {
      put(packet)
      return core.fromTunnel(b.view, slotAt(b, 0), packet.length, gso, w.now)
    },
    learn: (leg: 'host' | 'net', frame: Uint8Array) => {
      put(frame)
      core.learn(leg, b, 0, w.now)
    },
    slot: (where: { at: number; len: number }) => b.arena.slice(where.at, where.at + where.len),
    tick: (ms: number) => {
      w.now = instant(ms)
      core.tick(w.now)
    },
    outs: (): BridgeOut[] => {
      const all: BridgeOut[] = []
      for (let o = core.poll(); o !== null; o = core.poll()) all.push(o)
      return all
    },
    /** A tunnel 9 that stands, with the server's addresses (or another one) behind it. */
    route: (also?: Ip4) => {
      for (const to of also === undefined ? [server4] : [server4, also]) {
        w.tap(
          ipFrame(
            up,
            packet4({ source: hostIp, destination: to, protocol: 17, payload: udp(1, 2, new Uint8Array(1)) }),
          ),
        )
        const id = only(w.outs(), 'direct').id
        w.core.handle(
          { in: 'directed', id, result: { ok: true, vip4: to, vip6: server6, ttlSeconds: 60, tunnel: 9 } },
          w.now,
        )
        w.outs()
      }
      w.core.handle({ in: 'tunnel-mtu', tunnel: 9, innerBytes: 1400, wholeBytes: 1400 }, w.now)
      w.tap(
        ipFrame(
          up,
          packet6({ source: hostIp6, destination: server6, protocol: 17, payload: udp(1, 2, new Uint8Array(1)) }),
        ),
      )
      w.outs()
    },
  }
  core.handle({ in: 'zones', zones: ['ntm.example'] }, w.now)
  core.tick(w.now)
  if (!granted) return w
  w.tap(query(999, 'warm.local'))
  core.handle({ in: 'granted', hosts: [{ host: need([...core.hosts.all()][0]).id, vip4, vip6 }] }, w.now)
  w.outs()
  for (const h of core.hosts.all()) h.gatewayLink = null
  counters.values.clear()
  return w
}
