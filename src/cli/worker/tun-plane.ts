import { IoFault } from '#io/fault.ts'
import { ip, ipBatch } from '#io/links.ts'
import { type InterfacePort, openTun } from '#io/packet-native.ts'
import type { Ip } from '#ntm-lib/addr/ip.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import type { MirrorCommand } from '#ntm-lib/negotiate/mirror.ts'
import { clampMss } from '#ntm-lib/packet/clamp.ts'
import { fillTransport } from '#ntm-lib/packet/gso.ts'
import { validInner } from '#ntm-lib/packet/inner.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import { split4 } from '#ntm-lib/packet/split4.ts'
import type { Waiting } from '#ntm-lib/plane/unknown-addresses.ts'
import {
  batch,
  CSUM_MISSING,
  HEADROOM,
  outgoing,
  type SuperBatch,
  slotAt,
  superBatch,
} from '#ntm-lib/ports/packet-port.ts'
import type { RoleParts, RolePlane, StartRole } from './role-plane.ts'
import { TunAnswers } from './tun-answers.ts'
import { TunAsks, type TunAsksParts } from './tun-asks.ts'
import { TunRoutes } from './tun-routes.ts'
import type { TunIn, TunOut } from './tun-words.ts'

export type TunPlaneConfig = {
  /** Name of the device; '' lets the kernel choose (with one worker only: several share a device by its name). */
  readonly device: string
  /** Largest packet that this machine's own stack makes for tunnels. */
  readonly mtuBytes: number
  /** Virtual addresses with their prefix, as `ip` writes them (`198.18.0.1/16`): what the prefix covers goes to the device. */
  readonly addresses: readonly string[]
  /** More that goes to the device, as prefixes. */
  readonly routes?: readonly string[]
  /** What no path leads to is told as `TunOut` and kept a moment, instead of being dropped. */
  readonly asks?: boolean
}

/** What the start says. */
export type TunPlaneStarted = { readonly device: string }

/** Plain NTM from this machine to others: a TUN device on one side, paths by inner destination on the other. */
export const startTunPlane: StartRole<TunPlaneConfig, TunIn, TunOut> = async (config, parts) => {
  const port = openTun(config.device, { offloads: true, multiQueue: parts.workers > 1 })
  try {
    if (parts.lead) await setUp(port.name, config)
  } catch (e) {
    port.close()
    throw e
  }
  const started: TunPlaneStarted = { device: port.name }
  return { role: new TunPlane(port, config.asks ?? false, parts), started }
}

class TunPlane implements RolePlane<TunIn> {
  readonly #p: RoleParts<TunOut>
  readonly #port: InterfacePort
  readonly #routes: TunRoutes
  readonly #asks: TunAsks | null
  readonly #answers = new TunAnswers()
  readonly #in = superBatch(IN_SLOTS)
  /** What came out of tunnels in this round, still where it was opened. */
  readonly #out = outgoing(MOST_OUT)
  #opened: SuperBatch | null = null
  /** For what must be cut before it goes into a tunnel. */
  readonly #cut = batch(CUT_SLOTS, CUT_SLOT_BYTES)

  /** A packet that waited, on its way at last. */
  #late: SuperBatch | null = null

  constructor(port: InterfacePort, asks: boolean, parts: RoleParts<TunOut>) {
    this.#p = parts
    this.#port = port
    this.#routes = new TunRoutes(asks)
    const { tell, counters, clock } = parts
    const leads = (vip: Ip): boolean => this.#routes.rowFor(vip) !== 0
    const done: TunAsksParts['done'] = (waited, found, now) => this.#onDone(waited, found, now)
    this.#asks = asks ? new TunAsks({ tell, leads, done, counters, clock }) : null
    port.onGone(() => parts.fail(new IoFault(`use ${port.name}`, new Error('the interface was removed'))))
    port.onReadable(() => this.#turn())
  }

  handle(input: TunIn, now: Instant): unknown {
    if (input.say === 'no-path') this.#asks?.refused(input.vip, now)
    else {
      for (const vip of input.vips) this.#routes.give(vip, input.row)
      for (const vip of input.vips) this.#asks?.routed(vip, now)
    }
    return null
  }

  mirrored(command: MirrorCommand, now: Instant): void {
    this.#routes.mirrored(command)
    this.#asks?.mirrored(command, now)
  }

  inner(row: number, from: SuperBatch, i: number): void {
    const at = slotAt(from, i)
    const len = from.lens[i] ?? 0
    const gso = from.gso[i] ?? 0
    this.#clamp(row, from.view, at, len)
    if (this.#out.count === MOST_OUT) this.afterOpen()
    const job = 3 * this.#out.count++
    const { jobs } = this.#out
    jobs[job] = at
    jobs[job + 1] = len
    jobs[job + 2] = gso
    this.#opened = from
  }

  afterOpen(): void {
    if (this.#opened !== null && this.#out.count > 0) this.#port.sendSuper(this.#opened.arena, this.#out)
    this.#out.count = 0
  }

  *ports(): Iterable<readonly [string, InterfacePort['counters']]> {
    yield ['tun', this.#port.counters]
  }

  stop(): void {
    this.#asks?.stop()
    this.#port.close()
  }

  /** A bounded number of rounds: readiness is level-triggered, so what is left brings us back next turn. */
  #turn(): void {
    for (let round = 0; round < ROUNDS; round++) {
      const n = this.#port.recvSuper(this.#in)
      if (n === 0) return
      const now = this.#p.clock.now()
      for (let i = 0; i < n; i++) this.#toTunnel(this.#in, i, now)
      this.#p.plane.flush(now)
      this.#sendAnswers()
      if (n < this.#in.lens.length) return
    }
  }

  #toTunnel(from: SuperBatch, i: number, now: Instant): void {
    const { plane } = this.#p
    const at = slotAt(from, i)
    const len = from.lens[i] ?? 0
    const gso = from.gso[i] ?? 0
    const row = this.#routes.rowTo(from.view, at, len)
    if (row === 0) return this.#noPath(from.view, at, len, gso, now)
    this.#clamp(row, from.view, at, len)
    const verdict = plane.put(row, from, at, len, gso, now)
    if (verdict === 'queued') return
    if (verdict === 'cut-first') this.#cutSuper(row, from, at, len, gso, now)
    else if (verdict === 'too-big') this.#tooBig(row, from.view, at, len, gso, now)
  }

  #noPath(v: DataView, at: number, len: number, gso: number, now: Instant): void {
    const { counters } = this.#p
    // The kernel's own multicast (a router solicitation, IGMP) is for nobody there.
    const asks = validInner(v, at, len) === 'ok' && !isGroup(v, at) ? this.#asks : null
    const said = asks === null ? 'no-path' : asks.ask(v, at, len, gso, now)
    if (said === 'kept') return
    counters.count(`tun.drop.${said === 'full' ? 'unknown-full' : said === 'refused' ? 'unknown-virtual' : said}`)
    if (said === 'refused') this.#answers.unreachable(v, at, len, now)
  }

  #onDone(waited: readonly Waiting<null>[], found: boolean, now: Instant): void {
    this.#late ??= superBatch(1)
    const late = this.#late
    const at = slotAt(late, 0)
    for (const { packet, gso } of waited) {
      if (packet.length > late.slotBytes - HEADROOM) continue
      late.arena.set(packet, at)
      late.lens[0] = packet.length
      late.gso[0] = gso
      if (found) this.#toTunnel(late, 0, now)
      else this.#answers.unreachable(late.view, at, packet.length, now)
      this.#p.plane.flush(now)
    }
    this.#sendAnswers()
  }

  #clamp(row: number, v: DataView, at: number, len: number): void {
    clampMss(v, at, len, this.#routes.mss(row, v.getUint8(at) >> 4))
  }

  /** UDP segments that do not travel whole: one packet each, which may go in halves or come back as too big. */
  #cutSuper(row: number, from: SuperBatch, at: number, len: number, gso: number, now: Instant): void {
    const { io, plane, counters } = this.#p
    const c = this.#cut
    plane.flush(now)
    const n = io.segment(from.arena, at, len, gso, CUT_SLOT_BYTES - HEADROOM, c.arena, c.slotBytes, HEADROOM, c.lens)
    if (n < 0) return counters.count('tun.drop.not-cut')
    for (let i = 0; i < n; i++) {
      const verdict = plane.put(row, c, slotAt(c, i), c.lens[i] ?? 0, 0, now)
      if (verdict === 'too-big') this.#answers.tooBig(c.view, slotAt(c, i), c.lens[i] ?? 0, plane.innerMtu(row), now)
    }
    plane.flush(now)
  }

  /** RFC 791: without DF a packet is cut into fragments on its way; else its sender is told. */
  #tooBig(row: number, view: DataView, at: number, len: number, gso: number, now: Instant): void {
    const { plane, counters } = this.#p
    const most = plane.innerMtu(row)
    if (ip4.version(view, at) === 6 || (ip4.fragmentWord(view, at) & DF) !== 0) {
      return this.#answers.tooBig(view, at, len, most, now)
    }
    plane.flush(now)
    if (gso === CSUM_MISSING) fillTransport(view, at, len)
    if (!split4(view, at, len, most, this.#cut)) return counters.count('tun.drop.not-cut')
    for (let i = 0; i < this.#cut.count; i++) {
      plane.put(row, this.#cut, slotAt(this.#cut, i), this.#cut.lens[i] ?? 0, 0, now)
    }
    plane.flush(now)
  }

  #sendAnswers(): void {
    if (this.#answers.jobs.count > 0) this.#port.sendSuper(this.#answers.memory.arena, this.#answers.jobs)
    this.#answers.jobs.count = 0
  }
}

async function setUp(device: string, { mtuBytes, addresses, routes = [] }: TunPlaneConfig): Promise<void> {
  // The kernel has nothing of its own to say into tunnels.
  await ip('link', 'set', device, 'addrgenmode', 'none')
  await ip('link', 'set', device, 'mtu', String(mtuBytes), 'up')
  await ipBatch(addresses.map((a) => `address replace ${a} dev ${device}${a.includes(':') ? ' nodad' : ''}`))
  await ipBatch(routes.map((r) => `route replace ${r} dev ${device}`))
}

const isGroup = (v: DataView, at: number): boolean =>
  v.getUint8(at) >> 4 === 4 ? v.getUint8(at + 16) >= 224 : v.getUint8(at + 24) === 0xff

const IN_SLOTS = 32
const MOST_OUT = 256
const ROUNDS = 4
const DF = 0x4000
/** Cut parts are ordinary packets: at most as many as a super-packet has segments. */
const CUT_SLOTS = 128
const CUT_SLOT_BYTES = 10_240
