/** What a relay may spend. A limit of 0 is none. */
export type RelaySettings = {
  /** Paths at one time; one more is refused `relay-full`. At most 65,536. */
  readonly mostPaths: number
  /** Of all paths together. Also what `loadPercent` is measured against. */
  readonly kbitPerSecond: number
  readonly packetsPerSecond: number
  /** Of one path, both directions together; the coordinator may ask for less. */
  readonly pathKbitPerSecond: number
  readonly pathPacketsPerSecond: number
  /** Echoes to whoever probes. */
  readonly echoesPerSecond: number
}

export const RELAY_DEFAULTS: RelaySettings = {
  mostPaths: 4096,
  kbitPerSecond: 0,
  packetsPerSecond: 0,
  pathKbitPerSecond: 0,
  pathPacketsPerSecond: 0,
  echoesPerSecond: 1000,
}

/** The lower of two limits, where 0 is none. */
export const stricter = (a: number, b: number): number => (a === 0 ? b : b === 0 ? a : Math.min(a, b))
