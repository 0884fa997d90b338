import { availableParallelism } from 'node:os'
import { Thread } from '#io/thread.ts'
import { type LinkEnd, linkPair } from '#io/thread-link.ts'
import { Gates, gateMemory } from '../worker/gates.ts'
import type { RoleKind } from '../worker/role-plane.ts'
import type {
  PacketOrder,
  PacketSaid,
  PacketWorkerConfig,
  PacketWorkerStarted,
  ToPacketWorker,
} from '../worker/words.ts'
import { type HostParts, Orders, type PacketHost } from './packet-host.ts'
import { PACKET_WORKER, packetsAhead, packetThread } from './packets-ahead.ts'

export type ThreadHostParts<Out> = HostParts<Out> & {
  readonly kind: RoleKind
  /** The role's settings; survive a structured clone. */
  readonly role: unknown
  /** Worker threads, 1 to 3, each with its own lane; 0 or nothing: `workersFor`. */
  readonly workers?: number
}

/** Starts the packet side in worker threads. Rejects with the fault of its start: a port in use, a missing interface. */
export async function startPacketHost<In, Out>(parts: ThreadHostParts<Out>): Promise<PacketHost<In>> {
  const host = new ThreadHost<In, Out>(parts)
  try {
    await host.start()
  } catch (e) {
    await host.stop()
    throw e
  }
  return host
}

/** One core is the control thread's and everybody else's; lanes 1 to 3 are the workers'. A terminator has several only when told to, a relay never: its legs are in one table. */
export const workersFor = (kind: RoleKind, cores: number): number =>
  kind !== 'tt' && kind !== 'relay' ? Math.min(MOST_WORKERS, Math.max(1, cores - 1)) : 1

type Worker = { readonly thread: Thread<ToPacketWorker, PacketSaid>; seenBeat: number }

class ThreadHost<In, Out> extends Orders<In, Out> implements PacketHost<In> {
  readonly #p: ThreadHostParts<Out>
  readonly #workers: Worker[] = []
  #started: PacketWorkerStarted = { udpPort: 0, role: null }
  #beat = 0
  #failed = false

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

  /** One that stands still among several is as bad as all. */
  get beat(): number {
    if (!this.#workers.every((w) => w.thread.beat !== w.seenBeat)) return this.#beat
    for (const w of this.#workers) w.seenBeat = w.thread.beat
    return ++this.#beat
  }

  /** One after the other: the kernel numbers the sockets of one port in the order in which they were opened. */
  async start(): Promise<void> {
    const count = this.#p.workers || workersFor(this.#p.kind, availableParallelism())
    const pairs = Array.from({ length: count - 1 }, linkPair)
    await this.#startWorker(
      0,
      count,
      pairs.map(([end]) => end),
    )
    for (const [i, [, end]] of pairs.entries()) await this.#startWorker(i + 1, count, [end])
    if (count > 1) await this.#lead?.ask({ steer: count })
  }

  ask(input: In): Promise<unknown> {
    this.flush()
    return Promise.all(this.#workers.map(({ thread }) => thread.ask({ role: input }))).then(([lead]) => lead)
  }

  async refresh(): Promise<void> {
    await Promise.all(this.#workers.map(({ thread }) => thread.refresh()))
  }

  async stop(): Promise<void> {
    this.flush()
    await Promise.all(this.#workers.map(({ thread }) => thread.stop()))
  }

  protected override post(orders: readonly PacketOrder[]): void {
    const [lead, ...others] = this.#workers
    // The first one alone sends: what it sends may lead to packets for the others, who must know by then what to do with them.
    const shared = others.length === 0 ? [] : orders.filter((o) => o.order !== 'send')
    if (shared.length > 0) for (const { thread } of others) thread.tell({ orders: shared })
    lead?.thread.tell({ orders })
  }

  get #lead(): Thread<ToPacketWorker, PacketSaid> | undefined {
    return this.#workers[0]?.thread
  }

  async #startWorker(index: number, workers: number, links: readonly LinkEnd[]): Promise<void> {
    const { kind, role, udp, cells, log, counters } = this.#p
    const memory = gateMemory()
    const gates = new Gates(memory)
    const port = index === 0 ? udp.port : this.udpPort
    const config: PacketWorkerConfig = {
      kind,
      role,
      udp: { ...udp, port, reusePort: workers > 1 },
      cells,
      gates: memory,
      index,
      workers,
      links,
    }
    const { thread, value } = await Thread.start<ToPacketWorker, PacketSaid>({
      name: packetThread(index),
      entry: PACKET_WORKER,
      ahead: index === 0 ? packetsAhead() : null,
      config,
      transfer: links.map(({ port }) => port),
      log,
      counters,
      onOut: (said) => {
        gates.leave(said)
        this.heard(said)
      },
      onFail: (why) => this.#onFail(why),
    })
    this.#workers.push({ thread, seenBeat: 0 })
    if (index === 0) this.#started = value as PacketWorkerStarted
  }

  #onFail(why: Error): void {
    if (this.#failed) return
    this.#failed = true
    this.#p.onFail(why)
  }
}

const MOST_WORKERS = 3
