import type { BridgeCore } from '#bridge/core.ts'
import { LEARN_FILTER } from '#bridge/learn-filter.ts'
import type { BridgeOut } from '#bridge/types.ts'
import { systemClock } from '#io/clock.ts'
import { type InterfacePort, openPacketSocket, openTap } from '#io/packet-native.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import { type Batch, batch, slotAt, superBatch } from '#ntm-lib/ports/packet-port.ts'
import type { Undo } from './process.ts'

export type WireParts = {
  readonly core: BridgeCore
  readonly names: { readonly host: string; readonly net: string; readonly tap: string }
  readonly counters: Counters
  /** An inner packet for a tunnel: `len` bytes at `at`, which may be destroyed. */
  readonly toTunnel: (tunnel: number, memory: Batch, at: number, len: number) => void
  readonly onOut: (out: Extract<BridgeOut, { out: 'direct' | 'claim-hosts' }>) => void
  readonly onGone: (name: string) => void
  /** Something left for a tunnel: the node's outputs are due. */
  readonly touched: () => void
}

/**
 * The bridge's packet loop: frames taken off the wire come from the TAP, are judged by the core, and leave by send-only
 * packet sockets on either leg or into a tunnel. Batches are made once; a frame that is passed on is copied once.
 */
export class BridgeWire {
  readonly core: BridgeCore
  readonly #p: WireParts
  readonly #tap: InterfacePort
  readonly #legs: Readonly<Record<'to-host' | 'to-net', Leg>>
  readonly #in = superBatch(SLOTS, SLOT_BYTES)
  readonly #learnt = batch(LEARN_SLOTS, SLOT_BYTES)
  #timer: NodeJS.Timeout | undefined

  /** Opens all ports and starts reading. IoFault when an interface is missing. */
  constructor(parts: WireParts, undo: Undo) {
    const { names } = parts
    this.#p = parts
    this.core = parts.core
    this.#tap = this.#open(openTap(names.tap), undo)
    this.#legs = {
      'to-host': new Leg(this.#open(openPacketSocket(names.host, { receive: false }), undo)),
      'to-net': new Leg(this.#open(openPacketSocket(names.net, { receive: false }), undo)),
    }
    this.#tap.onReadable(() => this.#onTap())
    for (const leg of ['host', 'net'] as const) {
      const port = this.#open(openPacketSocket(names[leg], { filter: LEARN_FILTER, promiscuous: true }), undo)
      port.onReadable(() => this.#onLearn(leg, port))
    }
    undo.add(() => clearTimeout(this.#timer))
  }

  /** An inner packet from a tunnel; sent at `flush`. */
  fromTunnel(inner: Uint8Array): void {
    const leg = this.#legs['to-host']
    const b = leg.out
    if (b.count === SLOTS) leg.flush()
    if (inner.length > SLOT_BYTES - SLACK) return this.#p.counters.count('bridge.drop.jumbo')
    const start = slotAt(b, b.count)
    // The frame's head goes in front; the whole frame must begin where the slot does.
    const at = start + PLAIN_HEAD
    b.arena.set(inner, at)
    const verdict = this.core.fromTunnel(b.view, at, inner.length, 0, systemClock.now())
    if (verdict !== 'to-host') return
    const { at: from, len } = this.core.toHost
    if (from !== start) b.arena.copyWithin(start, from, from + len)
    b.lens[b.count++] = len
  }

  flush(): void {
    this.#legs['to-host'].flush()
    this.settle()
  }

  #onTap(): void {
    const b = this.#in
    for (let round = 0; round < ROUNDS; round++) {
      const n = this.#tap.recv(b)
      const now = systemClock.now()
      for (let i = 0; i < n; i++) {
        const verdict = this.core.fromTap(b, i, now)
        if (verdict === 'to-tunnel') {
          const { at, len, tunnel } = this.core.toTunnel
          this.#p.toTunnel(tunnel, b, at, len)
        } else if (verdict === 'to-host' || verdict === 'to-net') {
          const at = slotAt(b, i)
          this.#legs[verdict].put(b.arena.subarray(at, at + (b.lens[i] ?? 0)))
        }
      }
      if (n < SLOTS) break
    }
    this.settle()
    this.#p.touched()
  }

  #onLearn(leg: 'host' | 'net', port: InterfacePort): void {
    const b = this.#learnt
    for (let n = port.recv(b); n > 0; n = port.recv(b)) {
      const now = systemClock.now()
      for (let i = 0; i < n; i++) this.core.learn(leg, b, i, now)
      if (n < LEARN_SLOTS) break
    }
    this.settle()
  }

  /** Performs what the core has to say, and comes back when it wants to be asked again. */
  settle(): void {
    for (let out = this.core.poll(); out !== null; out = this.core.poll()) {
      if ('frame' in out) this.#legs[out.out].put(out.frame)
      else if (out.out === 'to-tunnel') this.#whole(out.tunnel, out.packet)
      else this.#p.onOut(out)
    }
    for (const leg of Object.values(this.#legs)) leg.flush()
    clearTimeout(this.#timer)
    const due = this.core.deadline()
    if (due === null) return
    this.#timer = setTimeout(
      () => {
        this.core.tick(systemClock.now())
        this.settle()
      },
      Math.max(0, Math.ceil(due - systemClock.now())),
    )
  }

  /** A packet that waited or was cut: in memory of its own. */
  #whole(tunnel: number, packet: Uint8Array): void {
    const memory = batch(1, packet.length + SLACK)
    memory.arena.set(packet, slotAt(memory, 0))
    this.#p.toTunnel(tunnel, memory, slotAt(memory, 0), packet.length)
    this.#p.touched()
  }

  #open(port: InterfacePort, undo: Undo): InterfacePort {
    undo.add(() => port.close())
    port.onGone(() => this.#p.onGone(port.name))
    return port
  }
}

/** Frames on their way out of one leg. */
class Leg {
  readonly out = batch(SLOTS, SLOT_BYTES)
  readonly #port: InterfacePort

  constructor(port: InterfacePort) {
    this.#port = port
  }

  put(frame: Uint8Array): void {
    if (this.out.count === SLOTS) this.flush()
    const b = this.out
    b.arena.set(frame.subarray(0, SLOT_BYTES - SLACK), slotAt(b, b.count))
    b.lens[b.count++] = Math.min(frame.length, SLOT_BYTES - SLACK)
  }

  flush(): void {
    if (this.out.count > 0) this.#port.send(this.out)
    this.out.count = 0
  }
}

const SLOTS = 64
const LEARN_SLOTS = 16
/** Jumbo frames are passed on as well; offloads are off, so nothing is larger than the largest MTU. */
const SLOT_BYTES = 10_240
/** Headroom before and room for a tag behind a packet. */
const SLACK = 128
const PLAIN_HEAD = 14
const ROUNDS = 4
