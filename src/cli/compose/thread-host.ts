import { moduleBeside, Thread } from '#io/thread.ts'
import { Gate } from '#io/thread-gate.ts'
import type { RoleKind } from '../worker/role-plane.ts'
import {
  MOST_DATAGRAMS,
  MOST_EVENTS,
  type PacketOrder,
  type PacketSaid,
  type PacketWorkerConfig,
  type PacketWorkerStarted,
  type ToPacketWorker,
} from '../worker/words.ts'
import { type HostParts, Orders, type PacketHost } from './packet-host.ts'

export type ThreadHostParts<Out> = HostParts<Out> & {
  readonly kind: RoleKind
  /** The role's settings; survive a structured clone. */
  readonly role: unknown
  /** Worker threads, 1 to 3; 1 unless told. Every role but a plain node's takes one. */
  readonly workers?: number
}

/** Starts the packet side in a worker thread. Rejects with the fault of its start: a port in use, a missing interface. */
export async function startPacketHost<In, Out>(parts: ThreadHostParts<Out>): Promise<PacketHost<In>> {
  const host = new ThreadHost<In, Out>(parts)
  await host.start()
  return host
}

class ThreadHost<In, Out> extends Orders<In, Out> implements PacketHost<In> {
  readonly #p: ThreadHostParts<Out>
  readonly #memory = [new SharedArrayBuffer(Gate.bytes), new SharedArrayBuffer(Gate.bytes)] as const
  readonly #datagrams = new Gate(this.#memory[0], MOST_DATAGRAMS)
  readonly #others = new Gate(this.#memory[1], MOST_EVENTS)
  #thread: Thread<ToPacketWorker, PacketSaid> | null = null
  #started: PacketWorkerStarted = { udpPort: 0, role: null }

  constructor(parts: ThreadHostParts<Out>) {
    super(parts.onOut)
    this.#p = parts
  }

  get udpPort(): number {
    return this.#started.udpPort
  }

  get started(): unknown {
    return this.#started.role
  }

  get beat(): number {
    return this.#thread?.beat ?? 0
  }

  async start(): Promise<void> {
    const { kind, role, udp, cells, log, counters, onFail } = this.#p
    const config: PacketWorkerConfig = { kind, role, udp, cells, gates: this.#memory, index: 0, workers: 1 }
    const { thread, value } = await Thread.start<ToPacketWorker, PacketSaid>({
      name: 'ntm-packets',
      entry: moduleBeside(import.meta.url, '../worker/packet-worker'),
      config,
      log,
      counters,
      onOut: (said) => this.#on(said),
      onFail,
    })
    this.#thread = thread
    this.#started = value as PacketWorkerStarted
  }

  ask(input: In): Promise<unknown> {
    this.flush()
    return this.#thread?.ask({ role: input }) ?? Promise.resolve(null)
  }

  async refresh(): Promise<void> {
    await this.#thread?.refresh()
  }

  async stop(): Promise<void> {
    this.flush()
    await this.#thread?.stop()
  }

  protected override post(orders: readonly PacketOrder[]): void {
    this.#thread?.tell({ orders })
  }

  #on(said: PacketSaid): void {
    if (said.said === 'mirror') {
      for (const { event } of said.events) (event === 'datagram' ? this.#datagrams : this.#others).leave()
    }
    this.heard(said)
  }
}
