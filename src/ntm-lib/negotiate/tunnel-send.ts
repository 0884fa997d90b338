import type { Endpoint } from '../addr/endpoint.ts'
import { isIp4 } from '../addr/ip.ts'
import type { Via } from '../addr/via.ts'
import type { Instant } from '../base/time.ts'
import { capsulatedFlags, FRAG_FIRST, FRAG_SECOND, FRAG_WHOLE, type Frag, writeCapsulated } from '../wire/capsulated.ts'
import { encodeFrames, type Frame } from '../wire/frames.ts'
import { HEADER_BYTES } from '../wire/header.ts'
import { type FilterFault, filter } from './filter.ts'
import { cutAt } from './halves.ts'
import type { Path } from './paths.ts'
import { placeFor, spendEarly } from './tunnel-ahead.ts'
import { onSent } from './tunnel-alive.ts'
import { type Core, drop, send } from './tunnel-core.ts'
import { type Slot, sealing } from './tunnel-epochs.ts'
import { mostInner, wholeOf } from './tunnel-sizes.ts'

/** Takes one datagram for the outer network; `bytes` is valid during the call only. */
export type Emit = (to: Endpoint, bytes: Uint8Array, via: Via | null) => void

/** Memory that holds an inner packet: a `Batch`, or any array with a view of the same bytes. */
export type PacketMemory = { readonly arena: Uint8Array; readonly view: DataView }

export type Sealed =
  | { readonly ok: true }
  /** Answer with "packet too big" / "fragmentation needed" and this MTU. */
  | { readonly ok: false; readonly why: 'too-big'; readonly innerMtuBytes: number }
  | { readonly ok: false; readonly why: 'not-open' | 'key-used-up' | FilterFault }

/**
 * Seals the inner packet of `length` bytes at `at`: one datagram, or two when it does not fit whole. With 16 bytes free
 * on both sides it is sealed where it lies, which destroys it; otherwise a copy is.
 */
export function sealInner(
  core: Core,
  path: Path,
  packet: PacketMemory,
  at: number,
  length: number,
  emit: Emit,
  now: Instant,
): Sealed {
  const slot = path.state === 'open' ? sealing(path.epochs, now) : null
  if (slot === null || path.address === null || path.mtu === null) return refuse(core, 'not-open')
  const fault = filter(packet.view, at, length, path.ownAllowed, path.peerAllowed)
  if (fault !== null) return refuse(core, fault)
  const parts = length <= wholeOf(path) ? 1 : 2
  if (!spendEarly(path, length + parts * SEALED_BYTES)) return refuse(core, 'not-open')
  if (parts === 1) {
    const to = placeFor(path, path.address.current, length + SEALED_BYTES)
    if (!sealPart(path, slot, packet, at, length, FRAG_WHOLE, to, emit)) return refuse(core, 'key-used-up')
  } else {
    const most = mostInner(path)
    if (length > most) {
      core.counters.count('ntm.too-big')
      return { ok: false, why: 'too-big', innerMtuBytes: most }
    }
    const cut = cutAt(length)
    const to = placeFor(path, path.address.current, length + 2 * SEALED_BYTES)
    // In this order and with nothing between: the receiver pairs halves by consecutive counters.
    const sent =
      sealCopy(path, slot, packet.arena, at, cut, FRAG_FIRST, to, emit) &&
      sealCopy(path, slot, packet.arena, at + cut, length - cut, FRAG_SECOND, to, emit)
    if (!sent) return refuse(core, 'key-used-up')
    core.counters.count('ntm.halved')
  }
  path.countOut(length)
  if (path.alive !== null) onSent(path.alive, true, now)
  if (slot.seal.wantsRekey && path.rekeyAt !== null && path.rekeyAt > now) path.rekeyAt = now
  return SEALED
}

/** Seals frames and queues them; returns the datagram's length, 0 when no key can seal. Unless told otherwise out of the path's own way. */
export function sendFrames(
  core: Core,
  path: Path,
  frames: readonly Frame[],
  to: Endpoint,
  now: Instant,
  slot: Slot | null = sealing(path.epochs, now),
  via: Via | null = viaTo(path, to),
): number {
  if (slot === null) return 0
  const header = new Uint8Array(HEADER_BYTES)
  const flags = capsulatedFlags(path.direction, true, LANE, FRAG_WHOLE)
  writeCapsulated(new DataView(header.buffer), 0, flags, slot.epoch, path.id, 0)
  const bytes = slot.seal.seal(header, encodeFrames(frames))
  if (bytes === null) {
    drop(core, 'key-used-up')
    return 0
  }
  send(core, to, bytes, via)
  if (path.alive !== null) onSent(path.alive, false, now)
  return bytes.length
}

/** The path's own way out, where it can carry that family. */
const viaTo = (path: Path, to: Endpoint): Via | null =>
  path.via !== null && isIp4(path.via.ip) === isIp4(to.ip) ? path.via : null

function sealPart(
  path: Path,
  slot: Slot,
  { arena, view }: PacketMemory,
  at: number,
  length: number,
  frag: Frag,
  to: Endpoint,
  emit: Emit,
): boolean {
  const start = at - HEADER_BYTES
  if (start < 0 || at + length + 16 > arena.length) return sealCopy(path, slot, arena, at, length, frag, to, emit)
  return sealAt(path, slot, { arena, view }, start, length, frag, to, emit)
}

function sealCopy(
  path: Path,
  slot: Slot,
  arena: Uint8Array,
  at: number,
  length: number,
  frag: Frag,
  to: Endpoint,
  emit: Emit,
): boolean {
  const copy = new Uint8Array(HEADER_BYTES + length + 16)
  copy.set(arena.subarray(at, at + length), HEADER_BYTES)
  return sealAt(path, slot, { arena: copy, view: new DataView(copy.buffer) }, 0, length, frag, to, emit)
}

function sealAt(
  path: Path,
  slot: Slot,
  { arena, view }: PacketMemory,
  start: number,
  length: number,
  frag: Frag,
  to: Endpoint,
  emit: Emit,
): boolean {
  writeCapsulated(view, start, capsulatedFlags(path.direction, false, LANE, frag), slot.epoch, path.id, 0)
  const total = slot.seal.sealAt(arena, start, length)
  if (total === null) return false
  emit(to, arena.subarray(start, start + total), viaTo(path, to))
  return true
}

function refuse(core: Core, why: 'not-open' | 'key-used-up' | FilterFault): Sealed {
  core.counters.count(`ntm.unsent.${why}`)
  return { ok: false, why }
}

const SEALED: Sealed = { ok: true }
/** Header and tag. */
const SEALED_BYTES = 32
/** The negotiation's own lane; packet workers have the others. */
const LANE = 0
