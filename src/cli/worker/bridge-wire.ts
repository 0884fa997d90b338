import type { BridgeCore } from '#bridge/core.ts'
import { type Filter, hostLearnFilter, LEARN_FILTER } from '#bridge/learn-filter.ts'
import type { BridgeOut } from '#bridge/types.ts'
import { Alarm } from '#io/alarm.ts'
import { IoFault } from '#io/fault.ts'
import type { PortCounters } from '#io/native.ts'
import { type InterfacePort, openPacketSocket, openTap } from '#io/packet-native.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import { batch, HEADROOM, type SuperBatch, slotAt, superBatch } from '#ntm-lib/ports/packet-port.ts'
import { HANDED, type TakeHanded } from './bridge-lead.ts'
import type { BridgeFromPlane, WireNames } from './bridge-words.ts'
import { Leg } from './leg.ts'
import { PortSums } from './port-sums.ts'
import { Presence } from './presence.ts'
import type { RoleParts } from './role-plane.ts'

export type BridgeWireParts = Pick<RoleParts<BridgeFromPlane>, 'plane' | 'io' | 'counters' | 'clock'> & {
  readonly core: BridgeCore
  /** More workers read the same TAP, each its own queue. */
  readonly shared: boolean
  /** A round is done: what it changed may concern them. */
  readonly onRound: () => void
  readonly onOut: (out: Extract<BridgeOut, { out: 'direct' | 'claim-hosts' | 'remember' }>) => void
  readonly onGone: (name: string) => void
}

/**
 * The bridge's packet loop. Frames taken off the wire come from the TAP, are judged by the core, and leave by send-only packet
 * sockets on either leg or into a tunnel; what comes out of tunnels leaves to the host. Super-packets stay whole, and every packet
 * leaves from the memory it came in: only what waited, and what must be cut, is copied.
 */
export class BridgeWire {
  readonly #p: BridgeWireParts
  readonly #ports = new Map<string, InterfacePort>()
  readonly #sums = new PortSums()
  readonly #legs: Readonly<Record<'to-host' | 'to-net', Leg>>
  readonly #alarm: Alarm
  readonly #in = superBatch(SLOTS)
  readonly #learnt = batch(LEARN_SLOTS, LEARN_SLOT_BYTES)
  /** Frames of a super-packet that had to be cut; made when the first one comes. */
  #cut: SuperBatch | null = null
  /** For a packet that waited. */
  readonly #one = superBatch(1)
  /** The arena of what was put into the plane since its last flush. */
  #putFrom: Uint8Array | null = null
  readonly #presence: Presence
  /** When a packet out of a tunnel was refused in this round: its sender may have to be told. */
  #unsaid: Instant | null = null

  /** Opens all ports and starts reading. IoFault when one is refused; none stays open then. */
  constructor(parts: BridgeWireParts, names: WireNames) {
    this.#p = parts
    this.#presence = new Presence(parts.clock)
    this.#alarm = new Alarm(parts.clock, () => {
      const now = parts.clock.now()
      parts.core.tick(now)
      this.settle(now)
      this.#fitLearning(names.host, now)
    })
    try {
      const tap = this.#open('tap', openTap(names.tap, { offloads: true, multiQueue: parts.shared }))
      this.#legs = {
        'to-host': new Leg(this.#open('host', openPacketSocket(names.host, { receive: false }))),
        'to-net': new Leg(this.#open('net', openPacketSocket(names.net, { receive: false }))),
      }
      this.#learnFrom('net', names.net, LEARN_FILTER)
      this.#learnFrom('host', names.host, hostLearnFilter(parts.core.hosts.settled(parts.clock.now()) ?? []))
      tap.onReadable(() => this.#onTap(tap))
    } catch (fault) {
      this.close()
      throw fault
    }
  }

  /** A packet that a tunnel delivered; it leaves at `afterOpen`. False when it does not. */
  inner(b: SuperBatch, i: number, now: Instant): boolean {
    const { core } = this.#p
    if (core.fromTunnel(b.view, slotAt(b, i), b.lens[i] ?? 0, b.gso[i] ?? 0, now) !== 'to-host') {
      this.#unsaid = now
      return false
    }
    const { at, len, gso } = core.toHost
    this.#legs['to-host'].add(b.arena, at, len, gso)
    return true
  }

  afterOpen(): void {
    this.#legs['to-host'].flush()
    const refused = this.#unsaid
    if (refused === null) return
    this.#unsaid = null
    this.settle(refused)
  }

  /** Packets that another worker read, as if they had come in here. All of them have left when it returns. */
  readonly handed: TakeHanded = (b, kinds, now, went) => {
    const { core } = this.#p
    this.#presence.isQuiet(now)
    for (let i = 0; i < b.count; i++) {
      if (kinds[i] === HANDED.inner) {
        if (this.inner(b, i, now)) went('in', core.judged('to-host'))
      } else {
        if (kinds[i] === HANDED.lateFrame) this.#presence.hush(now)
        if (this.#judge(b, i, now)) went('out', core.judged('to-tunnel'))
      }
    }
    this.settle(now)
  }

  /** Performs what the core has to say, and comes back when it wants to be asked again. */
  settle(now: Instant): void {
    this.#perform(now)
    this.#flush(now)
    this.#alarm.set(this.#p.core.deadline())
  }

  *ports(): Iterable<readonly [name: string, counts: PortCounters]> {
    const ports = [...this.#ports].map(([name, port]) => [name, port.counters] as const)
    yield* this.#sums.with(ports)
  }

  close(): void {
    this.#alarm.stop()
    this.#presence.stop()
    for (const port of this.#ports.values()) port.close()
  }

  /** A bounded turn, in frames and in bytes: readiness is level-triggered, so what is left brings us back, after the other ports. */
  #onTap(tap: InterfacePort): void {
    for (let round = 0, bytes = 0; round < ROUNDS && bytes < TURN_BYTES; round++) {
      const n = tap.recvSuper(this.#in)
      if (n === 0) return
      const now = this.#p.clock.now()
      this.#presence.isQuiet(now)
      let plain = true
      for (let i = 0; i < n; i++) {
        bytes += this.#in.lens[i] ?? 0
        plain = this.#judge(this.#in, i, now) && plain
      }
      if (plain) this.#flush(now)
      else this.settle(now)
      if (n < SLOTS) return
    }
  }

  /** Takes a frame to where the core says. Whether that was a tunnel, so that the core has nothing more to say. */
  #judge(b: SuperBatch, i: number, now: Instant): boolean {
    const { core, counters } = this.#p
    const verdict = core.fromTap(b, i, now)
    switch (verdict) {
      case 'to-tunnel': {
        const { at, len, gso, tunnel } = core.toTunnel
        this.#put(tunnel, b, at, len, gso, now)
        return true
      }
      case 'to-host':
      case 'to-net':
        this.#legs[verdict].add(b.arena, slotAt(b, i), b.lens[i] ?? 0, b.gso[i] ?? 0)
        return false
      case 'cut-first':
        if (b !== this.#cut) this.#judgePieces(b, i, now)
        else counters.count('bridge.drop.uncut')
        return false
      case 'consumed':
        // At once: what comes out of it must not be overtaken by the frames that follow.
        this.#perform(now)
        return false
      default:
        return false
    }
  }

  /** The frames that a super-packet stands for, each as if it had come alone. */
  #judgePieces(b: SuperBatch, i: number, now: Instant): void {
    const { core, io, counters } = this.#p
    const { at, len, gso } = core.toCut
    const frameAt = slotAt(b, i)
    const head = at - frameAt
    const cut = this.#cut ?? superBatch(CUT_SLOTS, CUT_SLOT_BYTES)
    this.#cut = cut
    const room = CUT_SLOT_BYTES - HEADROOM - head
    const { arena } = b
    const n = io.segment(arena, at, len, gso, room, cut.arena, cut.slotBytes, HEADROOM + head, cut.lens)
    if (n < 0) return counters.count('bridge.drop.uncut')
    for (let k = 0; k < n; k++) {
      cut.arena.set(arena.subarray(frameAt, at), slotAt(cut, k))
      cut.lens[k] = head + (cut.lens[k] ?? 0)
      cut.gso[k] = 0
      this.#judge(cut, k, now)
    }
    this.#flush(now)
  }

  #put(tunnel: number, b: SuperBatch, at: number, len: number, gso: number, now: Instant): void {
    const { plane, counters } = this.#p
    if (this.#putFrom !== b.arena) plane.flush(now)
    this.#putFrom = b.arena
    const verdict = plane.put(tunnel, b, at, len, gso, now)
    // The core goes by the same sizes; but they may have changed since they were told, or the tunnel gone.
    if (verdict !== 'queued') counters.count(REFUSED[verdict])
  }

  #perform(now: Instant): void {
    const { core, counters, onOut } = this.#p
    for (let out = core.poll(); out !== null; out = core.poll()) {
      if (out.out === 'to-net' && this.#presence.isQuiet(now)) counters.count('bridge.dns.own-question-kept')
      else if (out.out === 'to-host' || out.out === 'to-net') {
        if (!this.#legs[out.out].addCopy(out.frame)) counters.count('bridge.drop.jumbo')
      } else if (out.out === 'to-tunnel') this.#putCopy(out.tunnel, out.packet, out.gso, now)
      else onOut(out)
    }
  }

  /** A packet that waited or was cut: in memory of its own, after all that came before it. */
  #putCopy(tunnel: number, packet: Uint8Array, gso: number, now: Instant): void {
    const one = this.#one
    this.#p.plane.flush(now)
    one.arena.set(packet, slotAt(one, 0))
    this.#put(tunnel, one, slotAt(one, 0), packet.length, gso, now)
    this.#p.plane.flush(now)
  }

  #flush(now: Instant): void {
    this.#putFrom = null
    this.#p.plane.flush(now)
    this.#legs['to-host'].flush()
    this.#legs['to-net'].flush()
    this.#p.onRound()
  }

  #onLearn(leg: 'host' | 'net', port: InterfacePort): void {
    const b = this.#learnt
    for (let round = 0; round < ROUNDS; round++) {
      const n = port.recv(b)
      const now = this.#p.clock.now()
      for (let i = 0; i < n; i++) this.#p.core.learn(leg, b, i, now)
      if (n > 0) this.settle(now)
      if (n < LEARN_SLOTS) break
    }
    if (leg === 'host') this.#fitLearning(port.name, this.#p.clock.now())
  }

  /** Receives no more copies of what well-known hosts send. */
  #fitLearning(name: string, now: Instant): void {
    const known = this.#p.core.hosts.settled(now)
    const before = this.#ports.get('learn-host')
    if (known === null || before === undefined || before.gone) return
    try {
      this.#learnFrom('host', name, hostLearnFilter(known))
    } catch (fault) {
      if (fault instanceof IoFault) return // expected: the interface was removed just now, which is noticed elsewhere
      throw fault
    }
    before.close()
    this.#sums.add([['learn-host', before.counters]])
  }

  #learnFrom(leg: 'host' | 'net', name: string, filter: Filter): void {
    const port = openPacketSocket(name, { filter, promiscuous: true })
    this.#open(`learn-${leg}`, port).onReadable(() => this.#onLearn(leg, port))
  }

  #open(name: string, port: InterfacePort): InterfacePort {
    this.#ports.set(name, port)
    port.onGone(() => this.#p.onGone(port.name))
    return port
  }
}

/** Written out: a name put together per packet would be an allocation per packet. */
export const REFUSED = {
  'too-big': 'bridge.drop.too-big',
  'cut-first': 'bridge.drop.uncut',
  'not-open': 'bridge.drop.no-path',
  'key-used-up': 'bridge.drop.key-used-up',
  'inner-malformed': 'bridge.drop.inner-malformed',
  'source-not-allowed': 'bridge.drop.source-not-allowed',
  'destination-not-allowed': 'bridge.drop.destination-not-allowed',
  'embedded-not-allowed': 'bridge.drop.embedded-not-allowed',
} as const

/** A round's frames; 2 MiB when all are super-packets. */
const SLOTS = 32
const LEARN_SLOTS = 16
/** A learning socket sees whole frames, jumbo ones too. */
const LEARN_SLOT_BYTES = 10_240
const CUT_SLOTS = 128
const CUT_SLOT_BYTES = 10_240
const ROUNDS = 8
/** Sealing a MiB takes less than half a millisecond: what comes the other way does not wait longer. */
const TURN_BYTES = 1 << 20
