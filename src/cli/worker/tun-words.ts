import type { Ip } from '#ntm-lib/addr/ip.ts'

/** What the control thread tells a TUN plane that asks (`TunPlaneConfig.asks`). */
export type TunIn =
  /** These addresses are reached through the path of this row, and through what takes its place. */
  | { readonly say: 'route'; readonly vips: readonly Ip[]; readonly row: number }
  /** No path leads to this address: who sends there is told so. */
  | { readonly say: 'no-path'; readonly vip: Ip }

/** What it tells the control thread. */
export type TunOut = {
  /** Packets go to this address and no path leads there; they wait a moment. To be answered by a `TunIn`. */
  readonly out: 'wanted'
  readonly vip: Ip
}
