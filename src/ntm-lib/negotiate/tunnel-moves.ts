import type { Via } from '../addr/via.ts'
import type { Instant } from '../base/time.ts'
import type { Whereabouts } from '../wire/messages/direction.ts'
import type { Path } from './paths.ts'
import { type Core, touch } from './tunnel-core.ts'
import { relocated } from './tunnel-ways.ts'

/** Our own ways out are these now, best first per family. */
export function viasChanged(core: Core, vias: readonly Via[], _now: Instant): void {
  core.vias = vias
}

/** Fresh word of where the peer is; false when it is older than what is known. */
export function relocate(core: Core, path: Path, _whereabouts: Whereabouts, now: Instant): boolean {
  relocated(core, path, now)
  touch(core, path, now)
  return true
}
