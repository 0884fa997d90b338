import { BridgeFollower } from '#bridge/follower.ts'
import type { PortCounters } from '#io/native.ts'
import type { ThreadLink } from '#io/thread-link.ts'
import { BugError, invariant } from '#ntm-lib/base/invariant.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import type { MirrorCommand } from '#ntm-lib/negotiate/mirror.ts'
import { type SuperBatch, slotAt } from '#ntm-lib/ports/packet-port.ts'
import { hearLead } from './bridge-follower-rounds.ts'
import { FollowerWire } from './bridge-follower-wire.ts'
import { HANDED } from './bridge-lead.ts'
import type { BridgeFromPlane, BridgeToPlane } from './bridge-words.ts'
import { PortSums } from './port-sums.ts'
import type { RoleParts, RolePlane } from './role-plane.ts'

/** The bridge's packet side in every worker but the first. The host's requests it hears like the first one. */
export class BridgeFollowerPlane implements RolePlane<BridgeToPlane> {
  readonly #p: RoleParts<BridgeFromPlane>
  readonly #link: ThreadLink
  readonly #sums = new PortSums()
  #core: BridgeFollower | null = null
  #wire: FollowerWire | null = null
  /** Told before the network's plan was: sizes of tunnels, and what the lead says. */
  #early: ((core: BridgeFollower) => void)[] = []

  constructor(parts: RoleParts<BridgeFromPlane>) {
    this.#p = parts
    const [link] = parts.links
    if (link === undefined) throw new BugError('a follower has a link to its lead')
    this.#link = link
    hearLead(link, (word) => this.#do((core) => core.told(word)))
  }

  handle(input: BridgeToPlane): unknown {
    switch (input.say) {
      case 'begin': {
        invariant(this.#core === null, 'the bridge begins once')
        const core = new BridgeFollower(input.config.virtual)
        this.#core = core
        for (const deed of this.#early.splice(0)) deed(core)
        return
      }
      case 'wire-up': {
        const core = this.#core
        if (core === null) throw new BugError('the bridge was asked for something before it began')
        invariant(this.#wire === null, 'a wire goes up when none is')
        this.#wire = new FollowerWire({ ...this.#p, core, link: this.#link }, input.names)
        return
      }
      case 'wire-down':
        return this.stop()
      case 'let-go':
      case 'hosts':
      case 'core':
        return
      default:
        return input satisfies never
    }
  }

  mirrored(command: MirrorCommand): void {
    if (command.mirror === 'gone') return this.#do((core) => core.tunnel(command.row, null))
    const { row, innerBytes, wholeBytes, clampBytes } = command.path
    this.#do((core) => core.tunnel(row, { innerBytes, wholeBytes, clampBytes }))
  }

  inner(row: number, b: SuperBatch, i: number, now: Instant): void {
    if (this.#wire !== null) this.#wire.inner(row, b, i, now)
    else this.#link.hand(HANDED.inner, row, b.arena, slotAt(b, i), b.lens[i] ?? 0, b.gso[i] ?? 0)
  }

  afterOpen(): void {
    if (this.#wire !== null) this.#wire.afterOpen()
    else this.#link.flush()
  }

  ports(): Iterable<readonly [string, PortCounters]> {
    return this.#sums.with(this.#wire?.ports() ?? [])
  }

  stop(): void {
    const wire = this.#wire
    this.#wire = null
    if (wire === null) return
    wire.close()
    this.#sums.add(wire.ports())
  }

  #do(deed: (core: BridgeFollower) => void): void {
    if (this.#core === null) this.#early.push(deed)
    else deed(this.#core)
  }
}
