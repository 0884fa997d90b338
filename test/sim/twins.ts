import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'
import { type Millis, seconds } from '#ntm-lib/base/time.ts'
import type { Directed } from '#ntm-lib/negotiate/node-events.ts'
import { ROLE_NODE, ROLE_RELAY } from '#ntm-lib/wire/certificate.ts'
import { innerPacket } from '#test/support/inner.ts'
import { endpointOf } from '#test/support/route.ts'
import { BoxActor, CoordinatorActor } from './actors.ts'
import { Home } from './home.ts'
import type { Nat } from './nat.ts'
import { RelayBox } from './relay-box.ts'
import { dotted } from './system.ts'
import type { Weather } from './weather.ts'
import { calm } from './weather.ts'
import { World } from './world.ts'

//  laptop.ntm.example 192.0.2.10 ──┬── coordinator A 198.51.100.1
//  device.b.example   203.0.113.20 ┴── coordinator B 198.51.100.2
export const DC_A: Endpoint = endpointOf('198.51.100.1:4330')
export const DC_B: Endpoint = endpointOf('198.51.100.2:4330')

export type TwinsWish = {
  readonly seed?: number
  readonly weather?: Weather
  readonly configured?: boolean
  readonly optimise?: 'seed' | 'ice'
}

/** Two zones of one network, each with its own coordinator and store, in one world. */
export class Twins {
  readonly world: World
  readonly a: Home
  readonly b: Home
  dcA: CoordinatorActor
  dcB: CoordinatorActor
  readonly #boxes: BoxActor[] = []

  constructor({ seed = 1, weather = calm, configured = true, optimise = 'ice' }: TwinsWish = {}) {
    this.world = new World(weather)
    this.a = new Home({ seed, clock: this.world, endpoints: [DC_A], settings: { slice: SLICE_A, optimise } })
    this.b = new Home({
      ...{ seed: seed + 1000, clock: this.world, endpoints: [DC_B], settings: { optimise } },
      extends: { home: this.a, zone: 'b.example', own: HIGH },
    })
    if (configured) {
      this.a.federation.push({ zone: 'b.example', lead: this.lead('b') })
      this.b.federation.push({ zone: 'ntm.example', lead: this.lead('a') })
    }
    this.dcA = this.start('a')
    this.dcB = this.start('b')
  }

  lead(of: 'a' | 'b') {
    const home = this[of]
    return { endpoints: home.endpoints, key: home.network.coordinator.static.public }
  }

  /** Starts, or starts anew, one of the coordinators. */
  start(of: 'a' | 'b'): CoordinatorActor {
    const dc = new CoordinatorActor(this[of], this[of].suite(), `dc-${of}`)
    this.world.add(dc, of === 'a' ? DC_A : DC_B)
    if (of === 'a') this.dcA = dc
    else this.dcB = dc
    return dc
  }

  stop(of: 'a' | 'b'): void {
    this.world.remove(`dc-${of}`)
  }

  /** A relay of one of the zones on the open Internet. */
  relay(of: 'a' | 'b', at: string): RelayBox {
    const endpoint = endpointOf(at)
    const home = this[of]
    const relay = new RelayBox(home, `relay-${of}`, home.disk('relay', ROLE_RELAY), home.suite())
    relay.candidates = [{ type: 'local', endpoint, priority: 100 }]
    this.world.add(relay, endpoint)
    this.world.run(() => relay.registered, seconds(10))
    return relay
  }

  box(of: 'a' | 'b', name: string, at: string, nat: Nat | null = null, roles: number = ROLE_NODE): BoxActor {
    const endpoint = endpointOf(at)
    const home = this[of]
    const box = new BoxActor(
      home,
      name,
      home.disk(name, roles),
      [{ type: 'local', endpoint, priority: 100 }],
      home.suite(),
    )
    this.world.add(box, endpoint, nat)
    this.#boxes.push(box)
    return box
  }

  /** The box is elsewhere, says so, and its own ways out change. */
  move(box: BoxActor, at: string): void {
    const endpoint = endpointOf(at)
    this.world.move(box.name, endpoint)
    box.candidates = [{ type: 'local', endpoint, priority: 100 }]
    box.version++
    box.vias = [{ ifindex: 1, ip: endpoint.ip }]
    box.node.setVias(box.vias, this.world.now)
  }

  /** The box's program starts anew: what it had in memory is gone. */
  again(box: BoxActor): BoxActor {
    const home = this.a.settings.zone === box.disk.name.slice(box.disk.name.indexOf('.') + 1) ? this.a : this.b
    const fresh = new BoxActor(home, box.name, box.disk, box.candidates, home.suite())
    this.world.add(fresh, box.candidates[0]?.endpoint ?? nobody())
    this.#boxes.splice(this.#boxes.indexOf(box), 1, fresh)
    return fresh
  }

  boxes(): { laptop: BoxActor; device: BoxActor } {
    const laptop = this.box('a', 'laptop', '192.0.2.10:4330')
    return { laptop, device: this.box('b', 'device', '203.0.113.20:4330') }
  }

  /** Until everybody is registered and has confirmed where it is, and the configured links are up. */
  up(limit: Millis = seconds(30)): boolean {
    const linked = () =>
      [
        [this.a, this.dcA],
        [this.b, this.dcB],
      ].every(([home, dc]) =>
        (home as Home).federation.every((f) => (dc as CoordinatorActor).links.up.includes(f.zone)),
      )
    const placed = () =>
      this.#boxes.every(
        (box) =>
          box.registered &&
          [this.dcA, this.dcB].some((dc) =>
            dc.core.presences
              .all()
              .some(
                (p) =>
                  p.confirmed[4] !== null && p.candidates.some((c) => c.endpoint.ip === box.candidates[0]?.endpoint.ip),
              ),
          ),
      )
    const first = this.world.run(() => placed() && linked(), limit)
    // The next keep-alive tells every box of the zones that were found meanwhile.
    return (
      first &&
      this.world.run(
        () => this.#boxes.every((b) => (b.registration?.zones.length ?? 0) > Number(this.a.federation.length > 0)),
        limit,
      )
    )
  }

  resolve(box: BoxActor, name: string, limit: Millis = seconds(2), by: 'name' | 'peer' = 'name'): Directed {
    box.directed.delete(name)
    box.node.direct(name, { sought: { by, name }, why: 'dns', sources: [] }, this.world.now)
    this.world.run(() => box.answered(name) !== null, limit)
    return box.answered(name) ?? { ok: false, code: 'timeout', text: 'the test waited in vain' }
  }

  /** One packet there and one back over the path that was found. */
  ping(from: BoxActor, to: BoxActor, directed: Directed, limit: Millis = seconds(1)): boolean {
    if (!directed.ok) return false
    const [near, far] = [from, to].map((b) => b.tunnels.byContract(directed.contractHash))
    const [own, other] = [from, to].map((b) => dotted(b.registration?.vip4 ?? nobody()))
    if (near == null || far == null || own === undefined || other === undefined) return false
    const before = [from.received.length, to.received.length]
    from.say(near, innerPacket(own, other, 100), this.world.now)
    if (!this.world.run(() => to.received.length > (before[1] ?? 0), limit)) return false
    to.say(far, innerPacket(other, own, 100), this.world.now)
    return this.world.run(() => from.received.length > (before[0] ?? 0), limit)
  }

  /** Contracts in force at one coordinator, by hash. */
  rows(of: 'a' | 'b'): string[] {
    const { store } = this[of]
    const hashes = store.members().flatMap((m) => store.contractsOf(m.node).map((c) => hex(c.hash)))
    return [...new Set(hashes)].toSorted()
  }
}

const nobody = (): never => {
  throw new BugError('not registered')
}
const prefix = (text: string) => parsePrefix(text) ?? nobody()
const HIGH = prefix('198.18.128.0/17')
const SLICE_A = { own: prefix('198.18.0.0/16'), given: [HIGH] }
