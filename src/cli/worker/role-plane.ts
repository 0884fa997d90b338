import type { PortCounters } from '#io/native.ts'
import type { ThreadLink } from '#io/thread-link.ts'
import type { UdpRuns } from '#io/udp-runs.ts'
import type { PacketIo } from '#native/packet-io/index.d.ts'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import type { MirrorCommand } from '#ntm-lib/negotiate/mirror.ts'
import type { DatagramRuns } from '#ntm-lib/plane/engine.ts'
import type { TunnelPlane } from '#ntm-lib/plane/tunnel-plane.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { Clock } from '#ntm-lib/ports/machine.ts'
import type { SuperBatch } from '#ntm-lib/ports/packet-port.ts'

/** Which role core a packet worker runs. */
export type RoleKind = 'bridge' | 'tt' | 'tun' | 'relay'

/** A role's packet side, as the packet loop drives it. It watches its own ports, and flushes the plane after what it put. */
export interface RolePlane<In> {
  /** What the control thread tells or asks; the value (or what the promise gives) answers an `ask`. Survives a structured clone. */
  handle(input: In, now: Instant): unknown
  /** A path appeared, changed or went; the plane has it already. */
  mirrored?(command: MirrorCommand, now: Instant): void
  /** A genuine inner packet that the contract allows: slot `i` of `batch`. See `PlaneParts.onInner`. */
  inner(row: number, batch: SuperBatch, i: number, now: Instant): void
  /** All datagrams of one reading of the socket, instead of the tunnel plane, for a role that ends no tunnels. */
  datagrams?(d: DatagramRuns, now: Instant): void
  /** Runs per reading that it would rather have. */
  readonly runSlots?: number
  /** All of one round was told: what points into the batch is sent now. */
  afterOpen(): void
  /** Its ports' counts since they were opened, by a short name; told as counters `port.<name>.<count>` (`<name>1` of the second worker). */
  ports?(): Iterable<readonly [name: string, counts: PortCounters]>
  /** Closes its ports and timers. */
  stop(): void | Promise<void>
}

export type RoleParts<Out> = {
  readonly plane: TunnelPlane
  /** The worker's own socket. */
  readonly udp: Pick<UdpRuns, 'send' | 'sendOne'>
  /** A datagram for the control thread; `bytes` is its from now on. */
  readonly pass: (from: Endpoint, bytes: Uint8Array) => void
  readonly io: PacketIo
  readonly counters: Counters
  /** To the control thread's `onOut`, in order. */
  readonly tell: (out: Out) => void
  readonly log: Log
  readonly clock: Clock
  /** Lane that this worker seals in: 1 to 3. */
  readonly lane: number
  /** The first of the workers: what exists once is its business. */
  readonly lead: boolean
  readonly workers: number
  /** In the first worker: to each of the others, in their order. In each of the others: to the first. */
  readonly links: readonly ThreadLink[]
  /** An interface went away, a promise of ours was broken: the role ends. */
  readonly fail: (why: Error) => void
}

/** Opens the role's ports and begins. Resolves with the plane and what the control thread's start gets as `started`. */
export type StartRole<Config, In, Out> = (
  config: Config,
  parts: RoleParts<Out>,
) => Promise<{ readonly role: RolePlane<In>; readonly started?: unknown }>
