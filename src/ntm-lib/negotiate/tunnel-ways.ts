import type { Endpoint } from '../addr/endpoint.ts'
import type { Via } from '../addr/via.ts'
import type { Instant } from '../base/time.ts'
import type { Path } from './paths.ts'
import type { Core } from './tunnel-core.ts'

/** The path is open where it is: from now on its other ways are kept. */
export function waysOpened(_core: Core, path: Path, _now: Instant): void {
  path.ways = { list: [] }
}

/** The clock of checks. */
export function waysClock(_core: Core, _path: Path, _now: Instant): void {}

export function waysDeadline(_path: Path): Instant | null {
  return null
}

/** The relay forwards to us at `via` now: the way through it may be used. */
export function onLegBound(_core: Core, _path: Path, _endpoint: Endpoint, _via: Via | null, _now: Instant): void {}

/** The peer's whereabouts are new: what was known of ways is checked again. */
export function relocated(_core: Core, _path: Path, _now: Instant): void {}
