import { BridgeCore } from '#bridge/core.ts'
import type { BridgeIn } from '#bridge/types.ts'
import { systemRandom } from '#io/clock.ts'
import type { PortCounters } from '#io/native.ts'
import { BugError, invariant } from '#ntm-lib/base/invariant.ts'
import { after, type Instant, millis } from '#ntm-lib/base/time.ts'
import type { MirrorCommand } from '#ntm-lib/negotiate/mirror.ts'
import type { SuperBatch } from '#ntm-lib/ports/packet-port.ts'
import { BridgeWire } from './bridge-wire.ts'
import type { BridgeFromPlane, BridgeToPlane, WireNames } from './bridge-words.ts'
import type { RoleParts, RolePlane, StartRole } from './role-plane.ts'

export const startBridgePlane: StartRole<null, BridgeToPlane, BridgeFromPlane> = async (_, parts) => ({
  role: new BridgePlane(parts),
})

/** The bridge's packet side: its core with the DNS on the wire, and the wire while both its ports are there. */
class BridgePlane implements RolePlane<BridgeToPlane> {
  readonly #p: RoleParts<BridgeFromPlane>
  #core: BridgeCore | null = null
  #wire: BridgeWire | null = null
  /** What closed ports had counted. */
  readonly #counted = new Map<string, PortCounters>()

  constructor(parts: RoleParts<BridgeFromPlane>) {
    this.#p = parts
  }

  handle(input: BridgeToPlane, now: Instant): unknown {
    switch (input.say) {
      case 'begin':
        invariant(this.#core === null, 'the bridge begins once')
        this.#core = new BridgeCore(input.config, systemRandom, this.#p.counters)
        return
      case 'wire-up':
        return this.#up(input.names, now)
      case 'wire-down':
        return this.#down()
      case 'let-go':
        this.#begun().tick(after(now, FAR))
        return this.#settle(now)
      case 'core':
        return this.#tell(input.input, now)
      default:
        return input satisfies never
    }
  }

  /** Paths are opened for hosts, so none is there before there are hosts to look after. */
  mirrored(command: MirrorCommand, now: Instant): void {
    if (command.mirror === 'gone') return this.#tell({ in: 'tunnel-gone', tunnel: command.row }, now)
    const { row: tunnel, innerBytes, wholeBytes, clampBytes } = command.path
    this.#tell({ in: 'tunnel-mtu', tunnel, innerBytes, wholeBytes, clampBytes }, now)
  }

  inner(_row: number, b: SuperBatch, i: number, now: Instant): void {
    if (this.#wire === null) this.#p.counters.count('bridge.drop.no-wire')
    else this.#wire.inner(b, i, now)
  }

  afterOpen(): void {
    this.#wire?.afterOpen()
  }

  *ports(): Iterable<readonly [string, PortCounters]> {
    const open = new Map(this.#wire?.ports() ?? [])
    for (const name of new Set([...this.#counted.keys(), ...open.keys()])) {
      const counts = [this.#counted.get(name), open.get(name)].filter((c) => c !== undefined)
      yield [name, counts.reduce(plus)]
    }
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
      { core, plane, io, counters, clock, onOut: tell, onGone: (name) => tell({ out: 'port-gone', name }) },
      names,
    )
    this.#settle(now)
  }

  #down(): void {
    const wire = this.#wire
    this.#wire = null
    if (wire === null) return
    wire.close()
    for (const [name, counts] of wire.ports()) {
      const before = this.#counted.get(name)
      this.#counted.set(name, before === undefined ? counts : plus(before, counts))
    }
  }

  #settle(now: Instant): void {
    if (this.#wire !== null) return this.#wire.settle(now)
    const core = this.#begun()
    // Frames for a wire that is down go nowhere; what concerns the coordinator goes on.
    for (let out = core.poll(); out !== null; out = core.poll()) {
      if (out.out === 'direct' || out.out === 'claim-hosts') this.#p.tell(out)
    }
  }

  #begun(): BridgeCore {
    if (this.#core === null) throw new BugError('the bridge was asked for something before it began')
    return this.#core
  }
}

const plus = (a: PortCounters, b: PortCounters): PortCounters =>
  Object.fromEntries(Object.entries(a).map(([k, n]) => [k, n + b[k as keyof PortCounters]])) as PortCounters

/** Later than any hold of the DNS function, so that it lets everything go. */
const FAR = millis(60_000)
