import type { Internet } from '#lab/internet.ts'
import { LabError } from '#lab/ip.ts'

/** Who is at the end of one link of the Internet: its room or site, and every address that others send to. */
export type Party = { readonly link: string; readonly addresses: readonly (string | null)[] }

/**
 * Sets the round trips between parties, in milliseconds, half of each on the sender's own uplink: measured round trips need not fit a star.
 * What is not listed has no delay. The uplinks must have been made with weather.
 */
export async function setRoundTrips(
  net: Internet,
  trips: readonly (readonly [a: Party, b: Party, milliseconds: number])[],
): Promise<void> {
  const delays = new Map<string, Record<string, number>>()
  for (const [a, b, ms] of trips)
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const own = delays.get(from.link) ?? {}
      delays.set(from.link, own)
      for (const address of to.addresses) if (address !== null) own[address] = ms / 2
    }
  for (const [name, delaysTo] of delays) {
    const link = net.links.get(name)
    if (link === undefined) throw new LabError(`the uplink of ${name} has no weather`)
    await link.change({ there: { delaysTo }, back: {} })
  }
}

/** SEED 003 table 3, mean round trips in milliseconds. `mn4`: on the mobile network (global IPv4); `mn6`: on the IPv6-only access point. */
export const TABLE_3 = {
  'mn4-dc': 122.9,
  'mn4-cn': 143.16,
  'mn6-dc': 23.01,
  'mn6-rs': 38.51,
  'cn-dc': 21.31,
  'cn-rs': 39.38,
  'dc-dc': 14.12,
  'dc-rs': 20.41,
} as const
