import { type Stats, stats } from './stats.ts'

export const GROUPS = [
  'tcp',
  'udp',
  'latency',
  'cpu',
  'memory',
  'link',
  'translate',
  'relay',
  'names',
  'setup',
  'moves',
] as const
export type Group = (typeof GROUPS)[number]
export type Unit = 'ms' | 'Mbit/s' | 'µs' | 'packets' | 'kpps' | 'MiB' | 'ratio'

/** One measured thing. */
export type Row = {
  readonly group: Group
  readonly name: string
  /** Whose figure it is; null where nobody is compared. */
  readonly peer: string | null
  /** For names. `plain`: cables only; `far`: round trips of the seeds' order. */
  readonly lab?: 'plain' | 'far'
  readonly unit: Unit
  readonly stats: Stats
  /** The values themselves, in the order they were taken, where they are few. */
  readonly values?: readonly number[]
  /** Text for people. */
  readonly goal?: string
  /** What the figure holds, or why it is missing. */
  readonly note?: string
}

export function row(
  group: Group,
  name: string,
  peer: string,
  unit: Unit,
  values: readonly number[],
  note?: string,
): Row {
  return {
    ...{ group, name, peer, unit, stats: stats(values) },
    ...(values.length <= MOST_VALUES ? { values } : {}),
    ...(note === undefined ? {} : { note }),
  }
}

const MOST_VALUES = 20
