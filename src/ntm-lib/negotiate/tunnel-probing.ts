import { type Ip, sameIp } from '../addr/ip.ts'
import { between, type Instant } from '../base/time.ts'
import { doubt, floorOf, onProbeClock, overheadOf, startSearch } from './mtu.ts'
import type { Path } from './paths.ts'
import { TIMERS } from './timers.ts'
import { type Core, touch } from './tunnel-core.ts'
import { sendFrames } from './tunnel-send.ts'

/** After opening and after every move: what passed before says nothing about the new way. */
export function startProbing(core: Core, path: Path, now: Instant): void {
  if (path.address === null) return
  path.mtu = startSearch(floorOf(path.address.current), core.settings.underlayMtuBytes, now)
  core.out.push({ out: 'mtu', path })
}

/** The search's clock. */
export function probe(core: Core, path: Path, now: Instant): void {
  if (path.mtu === null || path.address === null || path.alive === null) return
  const busy = between(path.alive.lastInner, now) < TIMERS.probeConfirm.millis
  const before = path.mtu
  const { search, probe: size } = onProbeClock(before, busy, now)
  path.mtu = search
  if (size !== null) {
    const to = path.address.current
    const zeros = size - overheadOf(to) - PROBE_FRAME
    sendFrames(core, path, [{ kind: 'mtu-probe', mtuBytes: size, zeros: Math.max(0, zeros) }], to, now)
  }
  if (search.good !== before.good || search.bad !== before.bad) core.out.push({ out: 'mtu', path })
}

/** The machine says that large datagrams to `ip` do not pass: the paths that go there ask for themselves. */
export function doubtTo(core: Core, ip: Ip, now: Instant): void {
  for (const path of core.paths.all()) {
    if (path.mtu === null || path.address === null || !sameIp(path.address.current.ip, ip)) continue
    path.mtu = doubt(path.mtu, now)
    touch(core, path, now)
  }
}

/** Type, length and size of an mtu-probe frame. */
const PROBE_FRAME = 5
