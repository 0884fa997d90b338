import type { Endpoint } from '../addr/endpoint.ts'
import { sameIp } from '../addr/ip.ts'
import { sameVia, type Via } from '../addr/via.ts'
import { after, type Instant } from '../base/time.ts'
import type { Frame } from '../wire/frames.ts'
import { onProbeAnswer } from './mtu.ts'
import type { Path } from './paths.ts'
import { TIMERS } from './timers.ts'
import { type Core, closed } from './tunnel-core.ts'
import type { Slot } from './tunnel-epochs.ts'
import { answer, isHeeded, onResponseFrame, type Sign } from './tunnel-follow.ts'
import { propose } from './tunnel-open.ts'
import { onCheck, onChecked, waysDoubted } from './tunnel-ways.ts'

/** What the peer said in one datagram. One datagram is one question: the answers to many frames in it could be larger than it is. */
export function onFrames(core: Core, path: Path, slot: Slot, sign: Sign, frames: readonly Frame[], now: Instant): void {
  const { from, local } = sign
  // Where nobody knows what it came to, an answer to a check of ours tells out of which of our ways we are heard; what else is in it came there too.
  let via: Via | null | undefined = local === undefined ? undefined : core.vias.find((v) => sameIp(v.ip, local))
  for (const frame of frames.slice(0, MAX_FRAMES)) {
    if (path.state !== 'open') return
    // Overtaken by something newer on another way, and so not followed. Answered it would count as heard: without, it is said once more.
    if (frame.kind === 'check' && frame.use && !isHeeded(path, sign)) continue
    if (frame.kind === 'checked') via = onChecked(core, path, frame, from, now)?.via ?? via
    else onFrame(core, path, slot, frame, from, via, now)
  }
}

function onFrame(
  core: Core,
  path: Path,
  slot: Slot,
  frame: Exclude<Frame, { readonly kind: 'checked' }>,
  from: Endpoint,
  via: Via | null | undefined,
  now: Instant,
): void {
  const reply = (...frames: Frame[]): void => answer(core, path, frames, from, now)
  switch (frame.kind) {
    case 'pad':
    case 'pong':
      return
    case 'check': {
      const back = onCheck(core, path, frame, from, via, now)
      // The peer has settled on another uplink of ours than the one we use: it may no longer hear us there, and as we hear it we would never
      // find out by silence.
      if (frame.use && via != null && path.via !== null && !sameVia(via, path.via)) waysDoubted(core, path, now)
      return answer(core, path, back.frames, from, now, back.via)
    }
    case 'ready':
      // Only the answering end answers, or the two would go on for ever.
      if (!slot.initiated && slot === path.epochs.cur) reply({ kind: 'ready' })
      return
    case 'ping':
      return reply({ kind: 'pong', nonce: frame.nonce })
    case 'challenge':
      return reply({ kind: 'response', nonce: frame.nonce, observed: from })
    case 'response':
      return onResponseFrame(core, path, from, frame.nonce, now)
    case 'mtu-probe':
      return reply({ kind: 'mtu-ack', mtuBytes: frame.mtuBytes })
    case 'mtu-ack':
      return acknowledged(core, path, frame.mtuBytes, now)
    case 'rekey-please':
      return rekeyPlease(core, path, now)
    case 'close':
      return closed(core, path, frame.reason, now)
    default:
      return frame satisfies never
  }
}

/** Only the opener is asked, and not again right after an epoch was born: a handshake costs four DHs. */
function rekeyPlease(core: Core, path: Path, now: Instant): void {
  const born = path.epochs.cur?.born ?? now
  if (path.role === 'opener' && now >= after(born, TIMERS.tunnelRequestFresh.millis)) propose(core, path, now)
}

function acknowledged(core: Core, path: Path, size: number, now: Instant): void {
  if (path.mtu === null) return
  const before = path.mtu.good
  path.mtu = onProbeAnswer(path.mtu, size, now).search
  if (path.mtu.good !== before) core.out.push({ out: 'mtu', path })
}

const MAX_FRAMES = 8
