import type { ThreadLink } from '#io/thread-link.ts'
import { datagramRuns, type UdpRuns } from '#io/udp-runs.ts'
import type { PacketIo } from '#native/packet-io/index.d.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import type { MirrorEvent } from '#ntm-lib/negotiate/mirror.ts'
import type { PacketEngine } from '#ntm-lib/plane/engine.ts'
import { TunnelPlane } from '#ntm-lib/plane/tunnel-plane.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { Clock } from '#ntm-lib/ports/machine.ts'
import type { Gates } from './gates.ts'
import type { RoleParts, RolePlane } from './role-plane.ts'
import type { StartedRole } from './roles.ts'
import type { PacketOrder, PacketSaid } from './words.ts'

export type LoopParts = {
  readonly udp: UdpRuns
  readonly io: PacketIo
  readonly engine: PacketEngine
  readonly cells: Float64Array
  /** This loop's number, from 0, of `workers`. */
  readonly index: number
  readonly workers: number
  /** To the other workers; none unless told. */
  readonly links?: readonly ThreadLink[]
  readonly clock: Clock
  readonly counters: Counters
  readonly log: Log
  readonly gates: Gates
  readonly say: (said: PacketSaid) => void
  readonly fail: (why: Error) => void
}

/**
 * One packet worker's heart: the UDP socket, the tunnel plane and a role's plane, in whatever thread it runs. A turn takes a bounded number
 * of receive rounds, so that the other ports and the control thread's orders get theirs; what it tells leaves at its end.
 */
export class PacketLoop {
  readonly #p: LoopParts
  readonly #plane: TunnelPlane
  #in = datagramRuns(UDP_SLOTS)
  readonly #told = new Map<string, Readonly<Record<string, number>>>()
  #role: RolePlane<unknown> | null = null
  #events: MirrorEvent[] = []
  #telling = false
  #stopped = false

  private constructor(parts: LoopParts) {
    const { udp, engine, cells, counters, index, workers } = parts
    this.#p = parts
    this.#plane = new TunnelPlane({
      engine,
      lane: index + 1,
      share: { index, of: workers },
      cells,
      counters,
      emit: (event) => this.#emit(event),
      send: (runs, addrs, ports, vias) => udp.send(runs, addrs, ports, vias),
      onInner: (row, batch, i, now) => this.#role?.inner(row, batch, i, now),
      afterOpen: () => this.#role?.afterOpen(),
    })
  }

  /** Starts the role, then reads the socket. Resolves with the loop and what the role's start says. */
  static async start(
    parts: LoopParts,
    startRole: (parts: RoleParts<unknown>) => Promise<StartedRole>,
  ): Promise<{ readonly loop: PacketLoop; readonly started: unknown }> {
    const loop = new PacketLoop(parts)
    const { io, counters, log, clock, index, workers, fail, say, udp } = parts
    const { role, started } = await startRole({
      plane: loop.#plane,
      udp,
      pass: (from, bytes) => loop.#emit({ event: 'datagram', from, bytes }),
      io,
      counters,
      tell: (out) => say({ said: 'role', out }),
      log,
      clock,
      lane: index + 1,
      lead: index === 0,
      workers,
      links: parts.links ?? [],
      fail,
    })
    loop.#role = role
    if (role.runSlots !== undefined) loop.#in = datagramRuns(role.runSlots)
    // Anybody can send ICMP errors: only what is of use is told, and no more of it than waits.
    udp.onError(({ to, code }) => {
      if (code === 'EMSGSIZE' && parts.gates.enter('udp-error')) say({ said: 'udp-error', to, code })
    })
    udp.onReadable(() => loop.#turn())
    return { loop, started }
  }

  /** The control thread's orders, in order. */
  obey(orders: readonly PacketOrder[]): void {
    if (this.#stopped) return
    const now = this.#p.clock.now()
    for (const o of orders) {
      if (o.order === 'send') this.#p.udp.sendOne(o.to, o.bytes, o.via)
      else if (o.order === 'role') this.#role?.handle(o.input, now)
      else {
        this.#plane.apply(o.command, now)
        this.#role?.mirrored?.(o.command, now)
      }
    }
    this.#plane.takeKept(now)
  }

  /** The role's answer to the control thread's question. */
  ask(input: unknown): unknown {
    return this.#role?.handle(input, this.#p.clock.now())
  }

  /** Counts what the ports counted since it was last called. */
  countPorts(): void {
    this.#countPort('udp', { ...this.#p.udp.counters, ...Object.fromEntries(this.#p.udp.errors) })
    for (const [name, counts] of this.#role?.ports?.() ?? []) this.#countPort(name, counts)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#role?.stop()
    for (const link of this.#p.links ?? []) link.close()
    this.#p.udp.close()
    this.countPorts()
  }

  #turn(): void {
    const { udp, clock } = this.#p
    const into = this.#in
    for (let round = 0; round < ROUNDS && !this.#stopped; round++) {
      const n = udp.recv(into)
      if (n === 0) break
      const now: Instant = clock.now()
      if (this.#role?.datagrams !== undefined) this.#role.datagrams(into, now)
      else {
        this.#plane.take(into, now)
        this.#plane.flush(now)
      }
      if (n < into.lens.length) break
    }
    this.#tell()
  }

  #emit(event: MirrorEvent): void {
    const { gates, counters } = this.#p
    if (!gates.enter(event.event)) return counters.count(`ntm.drop.control-busy.${event.event}`)
    this.#events.push(event)
    if (this.#telling) return
    this.#telling = true
    queueMicrotask(() => this.#tell())
  }

  #tell(): void {
    this.#telling = false
    if (this.#events.length === 0) return
    const events = this.#events
    this.#events = []
    this.#p.say({ said: 'mirror', events })
  }

  /** The first worker's ports go by their plain names, those of the others have its number behind. */
  #countPort(port: string, counts: Readonly<Record<string, number>>): void {
    const name = this.#p.index === 0 ? port : `${port}${this.#p.index}`
    const before = this.#told.get(name)
    this.#told.set(name, counts)
    for (const [key, count] of Object.entries(counts)) {
      const by = count - (before?.[key] ?? 0)
      if (by > 0) this.#p.counters.count(`port.${name}.${key}`, by)
    }
  }
}

const ROUNDS = 4
/** Runs per round; each may be 64 KiB. */
const UDP_SLOTS = 16
