import { BridgeCore } from '#bridge/core.ts'
import { hostList } from '#bridge/host-list.ts'
import type { BridgeIn } from '#bridge/types.ts'
import { systemRandom } from '#io/clock.ts'
import type { PortCounters } from '#io/native.ts'
import { BugError, invariant } from '#ntm-lib/base/invariant.ts'
import { after, type Instant, millis } from '#ntm-lib/base/time.ts'
import type { MirrorCommand } from '#ntm-lib/negotiate/mirror.ts'
import type { SuperBatch } from '#ntm-lib/ports/packet-port.ts'
import { BridgeFollowerPlane } from './bridge-follower.ts'
import { BridgeLead } from './bridge-lead.ts'
import { BridgeWire } from './bridge-wire.ts'
import type { BridgeFromPlane, BridgeToPlane, WireNames } from './bridge-words.ts'
import { PortSums } from './port-sums.ts'
import type { RoleParts, RolePlane, StartRole } from './role-plane.ts'

export const startBridgePlane: StartRole<null, BridgeToPlane, BridgeFromPlane> = async (_, parts) => ({
  role: parts.lead ? new BridgePlane(parts) : new BridgeFollowerPlane(parts),
})

/** The bridge's packet side: its core with the DNS on the wire, and the wire while both its ports are there. */
class BridgePlane implements RolePlane<BridgeToPlane> {
  readonly #p: RoleParts<BridgeFromPlane>
  #core: BridgeCore | null = null
  #wire: BridgeWire | null = null
  readonly #sums = new PortSums()
  #lead: BridgeLead | null = null

  constructor(parts: RoleParts<BridgeFromPlane>) {
    this.#p = parts
  }

  handle(input: BridgeToPlane, now: Instant): unknown {
    switch (input.say) {
      case 'begin':
        invariant(this.#core === null, 'the bridge begins once')
        this.#core = new BridgeCore(input.config, systemRandom, this.#p.counters)
        if (this.#p.workers > 1) this.#lead = this.#leading(this.#core)
        return
      case 'wire-up':
        return this.#up(input.names, now)
      case 'wire-down':
        return this.#down()
      case 'let-go':
        this.#begun().tick(after(now, FAR))
        return this.#settle(now)
      case 'hosts':
        // Before the network's plan is known nobody looks after hosts.
        return this.#core === null ? [] : hostList(this.#core.hosts.all(), now)
      case 'core':
        return this.#tell(input.input, now)
      default:
        return input satisfies never
    }
  }

  /** A path is opened only after the registration, which the plan came with: there is a core by then. */
  mirrored(command: MirrorCommand, now: Instant): void {
    if (command.mirror === 'gone') return this.#tell({ in: 'tunnel-gone', tunnel: command.row }, now)
    const { row: tunnel, innerBytes, wholeBytes, clampBytes, leads, ownAllowed: own, peerAllowed: peer } = command.path
    this.#begun().handle({ in: 'tunnel-mtu', tunnel, innerBytes, wholeBytes, clampBytes }, now)
    this.#tell({ in: 'tunnel-ends', tunnel, ends: { leads, own, peer } }, now)
  }

  inner(_row: number, b: SuperBatch, i: number, now: Instant): void {
    if (this.#wire === null) this.#p.counters.count('bridge.drop.no-wire')
    else this.#wire.inner(b, i, now)
  }

  afterOpen(): void {
    this.#wire?.afterOpen()
  }

  ports(): Iterable<readonly [string, PortCounters]> {
    return this.#sums.with(this.#wire?.ports() ?? [])
  }

  stop(): void {
    this.#down()
  }

  #tell(input: BridgeIn, now: Instant): void {
    this.#begun().handle(input, now)
    this.#settle(now)
  }

  #up(names: WireNames, now: Instant): void {
    const core = this.#begun()
    invariant(this.#wire === null, 'a wire goes up when none is')
    const { plane, io, counters, clock, tell } = this.#p
    this.#wire = new BridgeWire(
      {
        ...{ core, plane, io, counters, clock, onOut: tell, shared: this.#p.workers > 1 },
        onRound: () => this.#lead?.publish(),
        onGone: (name) => tell({ out: 'port-gone', name }),
      },
      names,
    )
    this.#settle(now)
  }

  #down(): void {
    const wire = this.#wire
    this.#wire = null
    if (wire === null) return
    wire.close()
    this.#sums.add(wire.ports())
  }

  #leading(core: BridgeCore): BridgeLead {
    const { links, clock, counters } = this.#p
    return new BridgeLead({
      links,
      clock,
      core,
      take: (b, kinds, now, went) => {
        if (this.#wire === null) counters.count('bridge.drop.no-wire', b.count)
        else this.#wire.handed(b, kinds, now, went)
      },
    })
  }

  #settle(now: Instant): void {
    if (this.#wire !== null) return this.#wire.settle(now)
    this.#lead?.publish()
    const core = this.#begun()
    // Frames for a wire that is down go nowhere; what concerns the coordinator goes on.
    for (let out = core.poll(); out !== null; out = core.poll()) {
      if (out.out === 'direct' || out.out === 'claim-hosts' || out.out === 'remember') this.#p.tell(out)
    }
  }

  #begun(): BridgeCore {
    if (this.#core === null) throw new BugError('the bridge was asked for something before it began')
    return this.#core
  }
}

/** Later than any hold of the DNS function, so that it lets everything go. */
const FAR = millis(60_000)
