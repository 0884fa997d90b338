import { RELAYED } from './measures/relay.ts'
import type { Row } from './row.ts'

/** Ours over theirs; null when one of the two was not measured. */
export type Ratios = Readonly<Record<string, number | null>>

/**
 * The figures that goals are set in. `ntm` is the main job through both boxes, `ntm-tun` two nodes with a TUN each. Of two directions the
 * worse one counts. Added latency is ours over theirs as well: less than 1 is better.
 */
export function ratios(rows: readonly Row[]): Ratios {
  const of = (name: string, peer: string): number | null => {
    const found = rows.find((row) => row.name === name && row.peer === peer)
    return found === undefined || Number.isNaN(found.stats.median) ? null : found.stats.median
  }
  const over = (name: string, ours: string, theirs: string): number | null => divided(of(name, ours), of(name, theirs))
  const tcp = (ours: string, theirs: string): number | null =>
    least(DIRECTIONS.map((direction) => over(`TCP 1 stream ${direction}`, ours, theirs)))
  const overCoturn = (what: string): number | null =>
    divided(of(what, 'ntm'), most([of(what, 'coturn'), of(what, 'coturn-batched')]))
  const added = (peer: string): number | null => minus(of(ROUND_TRIP, peer), of(ROUND_TRIP, 'plain'))
  const link = (mbits: number, peer: string): number | null =>
    least(
      DIRECTIONS.map((direction) => of(`TCP 1 stream ${direction}, link of ${mbits} Mbit/s: of the possible`, peer)),
    )

  return {
    ...Object.fromEntries(THEIRS.map((theirs) => [`tcp1_over_${key(theirs)}`, tcp('ntm', theirs)])),
    ...Object.fromEntries(
      DIRECTIONS.flatMap((direction) =>
        (['plain', 'wireguard-go'] as const).map((theirs) => [
          `tcp1_${direction.replace(' ', '_')}_over_${key(theirs)}`,
          over(`TCP 1 stream ${direction}`, 'ntm', theirs),
        ]),
      ),
    ),
    ...Object.fromEntries(THEIRS.map((theirs) => [`udp128_over_${key(theirs)}`, over(UDP_128, 'ntm', theirs)])),
    rtt_added_over_wireguard_go: divided(added('ntm'), added('wireguard-go')),
    link1g_payload: link(1000, 'ntm'),
    link100m_payload: link(100, 'ntm'),
    translate_over_tayga: least(
      DIRECTIONS.map((direction) => over(`translation alone, TCP 1 stream ${direction}`, 'ntm', 'tayga')),
    ),
    // Of its two ways the better one each time.
    relay_over_coturn: least(RELAYED.filter(({ run }) => run > 1).map(({ what }) => overCoturn(what))),
    relay_one_by_one_over_coturn: least(RELAYED.filter(({ run }) => run === 1).map(({ what }) => overCoturn(what))),
    ...Object.fromEntries(THEIRS.map((theirs) => [`tcp1_tun_over_${key(theirs)}`, tcp('ntm-tun', theirs)])),
    udp128_tun_over_wireguard_go: over(UDP_128, 'ntm-tun', 'wireguard-go'),
    rtt_added_tun_over_wireguard_go: divided(added('ntm-tun'), added('wireguard-go')),
    link1g_tun_payload: link(1000, 'ntm-tun'),
  }
}

const divided = (a: number | null, b: number | null): number | null =>
  a === null || b === null || b === 0 ? null : a / b
const minus = (a: number | null, b: number | null): number | null => (a === null || b === null ? null : a - b)
const least = (values: readonly (number | null)[]): number | null => {
  const there = values.filter((value) => value !== null)
  return there.length < values.length || there.length === 0 ? null : Math.min(...there)
}
const most = (values: readonly (number | null)[]): number | null => {
  const there = values.filter((value) => value !== null)
  return there.length === 0 ? null : Math.max(...there)
}
const key = (peer: string): string => peer.replaceAll('-', '_')

const DIRECTIONS = ['to server', 'to host'] as const
const THEIRS = ['wireguard-go', 'plain', 'openvpn', 'nebula'] as const
const UDP_128 = 'UDP 128 B to server, at most 1 % lost'
const ROUND_TRIP = 'round trip idle, p50'
