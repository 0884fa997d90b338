import type { Endpoint } from '../addr/endpoint.ts'
import type { MirroredAhead } from './mirror.ts'
import type { Path } from './paths.ts'

/** What may go to an address that nothing has proven yet, and how much; null when nothing is in doubt. */
export const aheadOf = (path: Path): MirroredAhead | null =>
  path.early === null
    ? path.ahead
    : { serial: path.early.serial, to: path.early.to, bytes: Math.max(0, path.early.bytes - path.early.out) }

/** Whether `bytes` more of datagrams may leave for an address that only a Tunnel Request came from; counts them when so. */
export function spendEarly(path: Path, bytes: number): boolean {
  const { early } = path
  if (early === null) return true
  if (early.out + bytes > early.bytes) return false
  path.early = { ...early, out: early.out + bytes }
  return true
}

/** Where an inner packet goes: ahead of any proof as long as the allowance lasts, then where the peer was last proven to be. */
export function placeFor(path: Path, current: Endpoint, bytes: number): Endpoint {
  const { ahead } = path
  if (ahead === null) return current
  const used = path.aheadUsed.serial === ahead.serial ? path.aheadUsed.bytes : 0
  if (used + bytes > ahead.bytes) return current
  path.aheadUsed = { serial: ahead.serial, bytes: used + bytes }
  return ahead.to
}
