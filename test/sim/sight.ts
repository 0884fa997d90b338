import type { Ip4 } from '#ntm-lib/addr/ip4.ts'
import { type Millis, millis, seconds } from '#ntm-lib/base/time.ts'
import type { BoxActor } from './actors.ts'
import { type Fleet, vipOf } from './fleet.ts'
import { Flow } from './flow.ts'
import type { Passing } from './internet.ts'

export type Way = 'direct' | 'relay' | 'none'

/** Whether a datagram carries an inner packet (class 4 without the C bit), as anybody on the path can tell. */
export const carriesPacket = ({ bytes }: Passing): boolean => (bytes[0] ?? 0) === 0x14 && ((bytes[1] ?? 0) & 0x40) === 0

/**
 * Which way inner packets between two boxes take now, both directions, seen on the wire: the product is not asked. `none`: they do not
 * all arrive. Half a second of virtual time.
 */
export function wayBetween(
  fleet: Fleet,
  a: BoxActor,
  b: BoxActor,
  ips: readonly [Ip4, Ip4] = [vipOf(a), vipOf(b)],
): Way {
  const { net } = fleet
  const from = net.captured.length
  const there = new Flow(net, { from: a, to: b, source: ips[0], destination: ips[1], every: millis(20) })
  // Who was called speaks when it has heard something, as programs do.
  net.until(() => there.arrivals.length > 0, seconds(0.3))
  const back = new Flow(net, { from: b, to: a, source: ips[1], destination: ips[0], every: millis(20) })
  net.wait(millis(90))
  there.stop()
  back.stop()
  net.until(() => there.lost.length + back.lost.length === 0, seconds(0.3))
  if (there.lost.length + back.lost.length > 0) return 'none'
  const sent = net.captured.slice(from).filter((p) => carriesPacket(p) && (p.sender === a.name || p.sender === b.name))
  return sent.some((p) => fleet.relays.has(p.sites[1])) ? 'relay' : 'direct'
}

/** Waits until packets go that way; whether they came to it. */
export function comesTo(
  fleet: Fleet,
  way: Way,
  a: BoxActor,
  b: BoxActor,
  limit: Millis,
  ips: readonly [Ip4, Ip4] = [vipOf(a), vipOf(b)],
): boolean {
  const end = fleet.net.now + limit
  for (;;) {
    if (wayBetween(fleet, a, b, ips) === way) return true
    if (fleet.net.now >= end) return false
    fleet.net.wait(millis(200))
  }
}
