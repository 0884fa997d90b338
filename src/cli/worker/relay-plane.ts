import { Alarm } from '#io/alarm.ts'
import { nodeCrypto } from '#io/crypto-node.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import type { DatagramRuns } from '#ntm-lib/plane/engine.ts'
import { RelayCore } from '#relay/core.ts'
import type { RelayIn, RelayPlaneConfig, RelaySays, RelayShown } from './relay-words.ts'
import type { RoleParts, RolePlane, StartRole } from './role-plane.ts'

export const startRelayPlane: StartRole<RelayPlaneConfig, RelayIn, never> = async (config, parts) => ({
  role: new RelayPlane(config, parts),
})

/**
 * The relay's packet side: all datagrams of the socket, in runs as the kernel received them and out again as runs, from where they lie.
 * One worker: both directions of a path and its leg datagrams meet one table.
 */
class RelayPlane implements RolePlane<RelayIn> {
  /** Many paths' datagrams come one by one: fewer, larger readings. */
  readonly runSlots = 64
  readonly #core: RelayCore
  readonly #alarm: Alarm

  constructor(settings: RelayPlaneConfig, { udp, pass, counters, clock }: RoleParts<never>) {
    this.#core = new RelayCore({
      settings,
      suite: nodeCrypto,
      counters,
      send: (runs, addrs, ports) => udp.send(runs, addrs, ports),
      sendOne: (to, bytes) => udp.sendOne(to, bytes),
      pass,
    })
    this.#alarm = new Alarm(clock, () => {
      this.#core.tick(clock.now())
      this.#alarm.set(this.#core.deadline())
    })
  }

  handle(input: RelayIn, now: Instant): RelaySays | RelayShown {
    if (input.say === 'legs') return this.#core.legs
    let refused: RelaySays['refused'] = null
    if (input.say === 'direct') refused = this.#core.direct(input.direction, now)
    else if (input.say === 'release') this.#core.release(input.pathId)
    this.#alarm.set(this.#core.deadline())
    return { refused, paths: this.#core.paths, loadPercent: this.#core.loadPercent }
  }

  datagrams(d: DatagramRuns, now: Instant): void {
    const before = this.#core.deadline()
    this.#core.take(d, now)
    const after = this.#core.deadline()
    if (before !== after) this.#alarm.set(after)
  }

  /** A relay ends no tunnels. */
  inner(): void {}
  afterOpen(): void {}

  stop(): void {
    this.#alarm.stop()
  }
}
