import { Alarm } from '#io/alarm.ts'
import type { PortCounters } from '#io/native.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'
import { after, type Instant, seconds } from '#ntm-lib/base/time.ts'
import type { MirrorCommand } from '#ntm-lib/negotiate/mirror.ts'
import type { SuperBatch } from '#ntm-lib/ports/packet-port.ts'
import type { RoleParts, RolePlane } from './role-plane.ts'
import { Customers } from './tt-customers.ts'
import { type EdgePort, openEdgePort, segmenter } from './tt-edge.ts'
import { TtFollow } from './tt-follow.ts'
import type { EdgeKind, TtIn, TtOut, TtPlaneConfig, VirtualPlan } from './tt-words.ts'

/** What one of a terminator's further packet workers runs: packets of flows that the first one knows. */
export class TtFollowPlane implements RolePlane<TtIn> {
  readonly #p: RoleParts<TtOut>
  readonly #config: TtPlaneConfig
  readonly #customers = new Customers()
  readonly #alarm: Alarm
  #running: { readonly edge: EdgePort; readonly follow: TtFollow } | null = null

  constructor(config: TtPlaneConfig, parts: RoleParts<TtOut>) {
    this.#config = config
    this.#p = parts
    this.#alarm = new Alarm(parts.clock, () => this.#tick(parts.clock.now()))
  }

  handle(input: TtIn, now: Instant): unknown {
    switch (input.say) {
      case 'open':
        this.#open(input.virtual, input.edge)
        return this.#tick(now)
      case 'addresses':
        return this.#running?.follow.policyChanged()
      case 'server':
      case 'tables':
        // The lead's: it has the names and all flows.
        return null
      default:
        return input satisfies never
    }
  }

  mirrored(command: MirrorCommand): void {
    const gone = this.#customers.mirrored(command)
    if (gone !== null) this.#running?.follow.removeNode(gone)
  }

  inner(row: number, b: SuperBatch, i: number, now: Instant): void {
    const customer = this.#customers.at(row)
    if (customer === null || this.#running === null) return this.#p.counters.count('tt.drop.not-open')
    this.#running.follow.loop.fromTunnel(row, customer, b, i, now)
  }

  afterOpen(): void {
    if (this.#running === null) return
    this.#running.follow.loop.afterOpen(this.#p.clock.now())
    this.#running.follow.endRound()
  }

  *ports(): Iterable<readonly [string, PortCounters]> {
    if (this.#running !== null) yield ['edge', this.#running.edge.counters()]
  }

  stop(): void {
    this.#alarm.stop()
    this.#running?.edge.port.close()
  }

  #open(virtual: VirtualPlan, kind: EdgeKind): void {
    if (this.#running !== null) throw new BugError('the edge is open already')
    const { links, counters, plane, clock, fail, io, lane, workers } = this.#p
    const [link] = links
    if (link === undefined) throw new BugError('a follower without a lead')
    const { seed, uplinkMtuBytes } = this.#config
    const segment = segmenter(io)
    const edge = openEdgePort(kind, segment, fail, true)
    const follow = new TtFollow({
      edge: edge.port,
      kernelSpendsHop: edge.kernelSpendsHop,
      plane,
      counters,
      clock,
      virtual,
      uplinkMtuBytes,
      seed,
      segment,
      share: { index: lane - 1, of: workers },
      link,
      customers: this.#customers,
    })
    this.#running = { edge, follow }
  }

  #tick(now: Instant): void {
    this.#running?.follow.tick(now)
    this.#alarm.set(after(now, TICK))
  }
}

const TICK = seconds(1)
