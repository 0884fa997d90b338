import type { Endpoint } from '../addr/endpoint.ts'
import type { Ip } from '../addr/ip.ts'
import { after, type Instant, millis } from '../base/time.ts'
import {
  counter,
  direction,
  epoch,
  FRAG_WHOLE,
  frag,
  isCapsulated,
  isFrames,
  lane,
  pathId,
} from '../wire/capsulated.ts'
import { decodeFrames } from '../wire/frames.ts'
import { decodeReset } from '../wire/reset.ts'
import { filter } from './filter.ts'
import type { MirrorEvent } from './mirror.ts'
import type { Path } from './paths.ts'
import { TIMERS } from './timers.ts'
import { settledAt } from './tunnel-address.ts'
import { onReceived } from './tunnel-alive.ts'
import { type Core, drop, send, touch } from './tunnel-core.ts'
import { endEarly } from './tunnel-early.ts'
import { heard, type Slot, slotOf } from './tunnel-epochs.ts'
import { follow, type Sign } from './tunnel-follow.ts'
import { onFrames } from './tunnel-frames.ts'
import { opened, planRekey } from './tunnel-life.ts'
import { ask, peerDirection } from './tunnel-open.ts'
import { sendFrames } from './tunnel-send.ts'

/** A genuine inner packet that the contract allows. `bytes` is an array of its own. */
export type Opened = { readonly path: Path; readonly bytes: Uint8Array }

/** Opens a Capsulated Packet. Null for everything that is not a permitted whole inner packet: counted, or handled here. */
export function openDatagram(
  core: Core,
  from: Endpoint,
  datagram: Uint8Array,
  now: Instant,
  local: Ip | undefined,
): Opened | null {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength)
  const path = pathOf(core, view, from, now)
  if (path === null) return null
  if (direction(view, 0) !== peerDirection(path)) return dropped(core, 'wrong-direction')
  const slot = slotOf(path.epochs, epoch(view, 0))
  if (slot === null) return dropped(core, 'old-epoch')
  const replays = core.refused.replay
  const inner = slot.open.open(datagram)
  if (inner === null) return dropped(core, core.refused.replay > replays ? 'replay' : 'bad-tag')

  const frames = isFrames(view, 0) ? inner : null
  if (path.alive !== null) onReceived(path.alive, frames === null, now)
  const newest = slot.open.newest(lane(view, 0)) === counter(view, 0)
  genuine(core, path, slot, { from, bytes: datagram.length, newest, local }, frames, now)
  if (frames !== null) return null
  const which = frag(view, 0)
  const whole =
    which === FRAG_WHOLE
      ? inner
      : path.halves.take(which === 1 ? 1 : 2, slot.epoch, lane(view, 0), counter(view, 0), inner, now)
  return whole === null ? null : admit(core, path, whole)
}

/** What follows from a datagram that a packet worker opened and told of; its cells say already that it came. */
export function onHeardElsewhere(core: Core, event: Extract<MirrorEvent, { event: 'heard' }>, now: Instant): void {
  const { from, bytes, newest, frames, local } = event
  const found = slotOfEvent(core, event)
  if (found === null) return drop(core, 'late-event')
  const { path, slot } = found
  genuine(core, path, slot, { from, bytes, newest, local }, frames, now)
  touch(core, path, now)
}

/** A key of a packet worker has nearly done all it may: its successor is asked for now. */
export function onWorn(core: Core, event: Extract<MirrorEvent, { event: 'worn' }>, now: Instant): void {
  const found = slotOfEvent(core, event)
  if (found === null) return drop(core, 'late-event')
  const { path, slot } = found
  // A successor that is already sealing, or waits for its proof, is all that can be asked for.
  if (slot !== path.epochs.cur || path.epochs.next !== null || path.rekeyAt === null || path.rekeyAt <= now) return
  path.rekeyAt = now
  touch(core, path, now)
}

/** A class 4 datagram that no packet worker has a row for: the peer of a path that is gone is told so. */
export function onStray(core: Core, from: Endpoint, datagram: Uint8Array, now: Instant): void {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength)
  // A row for it is on its way.
  if (pathOf(core, view, from, now) !== null) drop(core, 'early')
}

/** The path of a Capsulated Packet, opened or not. Null: counted, and an unknown path is answered. */
function pathOf(core: Core, view: DataView, from: Endpoint, now: Instant): Path | null {
  if (!isCapsulated(view, 0, view.byteLength)) return dropped(core, 'malformed')
  const id = pathId(view, 0)
  const path = core.paths.byId(id)
  if (path !== null) return path
  const reset = core.resets.answer(id, view.byteLength, now)
  if (reset !== null) send(core, from, reset)
  return dropped(core, 'unknown-path')
}

/** Events take their time: rows are used again and epochs pass. A serial names one slot of one path for ever. */
function slotOfEvent(
  core: Core,
  event: { readonly row: number; readonly epoch: number; readonly serial: number },
): { readonly path: Path; readonly slot: Slot } | null {
  const path = core.rows.find(event.row)
  const slot = path === null ? null : slotOf(path.epochs, event.epoch)
  return path === null || slot === null || slot.keys?.serial !== event.serial ? null : { path, slot }
}

/** What every genuine datagram says. `newest` = the highest counter of its lane so far; `plain`: frames, null for an inner packet. */
function genuine(
  core: Core,
  path: Path,
  slot: Slot,
  sign: Omit<Sign, 'frames'>,
  plain: Uint8Array | null,
  now: Instant,
): void {
  prove(core, path, slot, sign.from, now)
  const decoded = plain === null ? null : decodeFrames(plain)
  if (decoded !== null && !decoded.ok) drop(core, 'bad-frames')
  const frames = decoded === null ? null : decoded.ok ? decoded.value : []
  follow(core, path, { ...sign, newest: sign.newest && slot === path.epochs.cur, frames }, now)
  if (frames !== null) onFrames(core, path, slot, { ...sign, frames }, frames, now)
}

function admit(core: Core, path: Path, bytes: Uint8Array): Opened | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const fault = filter(view, 0, bytes.length, path.peerAllowed, path.ownAllowed)
  if (fault !== null) return dropped(core, fault)
  path.countIn(bytes.length)
  return { path, bytes }
}

/** A genuine packet in `slot`: key confirmation, and the end of any doubt about the peer. */
function prove(core: Core, path: Path, slot: Slot, from: Endpoint, now: Instant): void {
  path.resetAt = null
  if (slot === path.epochs.cur) path.ready = null
  if (slot !== path.epochs.next) return
  path.epochs = heard(path.epochs, slot.epoch)
  // The peer has our answer: nobody needs its copy any more, and a replayed request gets nothing.
  if (path.accepted?.epoch === slot.epoch) path.accepted = { ...path.accepted, response: null }
  // The epoch just proven is newer than what we were about to ask for.
  ask(core, path, { in: 'answered' }, now)
  planRekey(core, path, now)
  path.ready = null
  core.counters.count('ntm.tunnel.epoch')
  if (path.early !== null) return endEarly(core, path, from, now)
  path.address ??= settledAt(from, now)
  if (path.state === 'provisional') opened(core, path, now)
}

/** A Reset. One that carries the peer's token is doubt, not proof: it may have been coaxed out before the path was known there. */
export function onReset(core: Core, bytes: Uint8Array, now: Instant): void {
  const reset = decodeReset(bytes)
  if (!reset.ok) return drop(core, reset.fault)
  const path = core.paths.byId(reset.value.id)
  const told = path?.peerReset ?? null
  if (path === null || told === null || reset.value.about !== 'path' || told.id !== reset.value.id) {
    return drop(core, 'unknown-reset')
  }
  if (!core.suite.equal(told.token, reset.value.token)) return drop(core, 'bad-reset')
  if (path.resetAt !== null || path.address === null || !path.isOpen) return
  const wait = Math.max(TIMERS.resetTrial.millis, 3 * (path.rtt ?? 0))
  path.resetAt = after(now, millis(wait))
  touch(core, path, now)
  sendFrames(core, path, [{ kind: 'ping', nonce: core.random.bytes(8) }], path.address.current, now)
}

function dropped(core: Core, reason: string): null {
  drop(core, reason)
  return null
}
