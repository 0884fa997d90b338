/**
 * One step of the configuration's layout in `/data/config`: from version `from` to the next. It runs in a copy of the directory, and its program
 * never sees a half done one. A step is never changed after a release.
 */
export type Migration<Dir> = {
  readonly from: number
  /** For the journal: what becomes of what. */
  readonly what: string
  apply(dir: Dir): Promise<void> | void
}

/** What is found below `/data`. */
export type DataState = {
  /** Version of `config`: what it says itself, else what `/data/version` says; null when there is no `config`. */
  readonly config: number | null
  /** Versions of the old copies, `config.vN`. */
  readonly copies: readonly number[]
}

export type MigrationPlan =
  /** Nothing to do. */
  | { readonly do: 'keep' }
  /** Fresh, or lost: an empty `config` of the program's version. */
  | { readonly do: 'make' }
  /** The steps to take, in order; `config` is kept as `config.vN` until the slot is good. */
  | { readonly do: 'migrate'; readonly from: number; readonly steps: readonly number[] }
  /** The old slot runs again, or the new one came back to its half done work: `config.vN` becomes `config`; what is there becomes a copy. */
  | { readonly do: 'take-copy'; readonly version: number; readonly instead: number | null }
  /** Written by a newer program and no copy of ours is left: nothing is touched, and the program runs without a configuration. */
  | { readonly do: 'refuse'; readonly why: string }

/** What a program of data version `program` does with these data. `known` are the versions there is a migration from. */
export function planMigration(state: DataState, program: number, known: readonly number[]): MigrationPlan {
  const { config, copies } = state
  if (config === program) return { do: 'keep' }
  // A copy of our own version is either what an update left for us, or the migration's result that it had no time to put in place.
  if (copies.includes(program) && (config === null || config > program))
    return { do: 'take-copy', version: program, instead: config }
  if (config === null) {
    const older = copies.filter((version) => version < program).sort((a, b) => b - a)[0]
    if (older !== undefined) return { do: 'take-copy', version: older, instead: null }
    return copies.length === 0 ? { do: 'make' } : { do: 'refuse', why: newer(Math.min(...copies), program) }
  }
  if (config > program) return { do: 'refuse', why: newer(config, program) }
  const steps = Array.from({ length: program - config }, (_, i) => config + i)
  const gap = steps.find((version) => !known.includes(version))
  if (gap !== undefined)
    return { do: 'refuse', why: `there is no way from version ${gap} of the configuration to ${program}` }
  return { do: 'migrate', from: config, steps }
}

const newer = (found: number, program: number): string =>
  `the configuration has version ${found}, and this program knows versions up to ${program}. Install a newer image, or reset the box to factory settings`
