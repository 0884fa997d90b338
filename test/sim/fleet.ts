import type { CoordinatorSettings } from '#coordinator/settings.ts'
import type { Ip4 } from '#ntm-lib/addr/ip4.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'
import { type Millis, millis, seconds } from '#ntm-lib/base/time.ts'
import type { Directed } from '#ntm-lib/negotiate/node-events.ts'
import { ROLE_NODE, ROLE_RELAY } from '#ntm-lib/wire/certificate.ts'
import type { RelaySettings } from '#relay/settings.ts'
import { endpointOf } from '#test/support/route.ts'
import { BoxActor, CoordinatorActor } from './actors.ts'
import { Home } from './home.ts'
import { Internet, type Plug } from './internet.ts'
import { at } from './places.ts'
import { RelayBox } from './relay-box.ts'

export const DC4 = endpointOf('198.51.100.1:4330')
export const DC6 = endpointOf('[2001:db8:1000::1]:4330')

export type FleetWish = {
  readonly seed?: number
  readonly settings?: Partial<CoordinatorSettings>
}

/** A whole NTM network on the small Internet: the real coordinator, relays and boxes, each with a place. */
export class Fleet extends Home {
  readonly net: Internet
  dc: CoordinatorActor
  /** By name. */
  readonly relays = new Map<string, RelayBox>()
  readonly #boxes = new Map<string, BoxActor>()

  constructor({ seed = 1, settings = {} }: FleetWish = {}) {
    const net = new Internet()
    super({ seed, clock: net, endpoints: [DC4, DC6], settings })
    this.net = net
    this.dc = new CoordinatorActor(this, this.suite())
    net.run(this.dc)
    net.plug('dc', 'eth0', at(net.core, '198.51.100.1', '2001:db8:1000::1'))
  }

  /** The coordinator's program starts anew on the same store. */
  restartCoordinator(): void {
    this.dc = new CoordinatorActor(this, this.suite())
    this.net.run(this.dc)
  }

  /** A box of this name at a place, switched on. */
  box(name: string, place: Plug | Readonly<Record<string, Plug>>, roles: number = ROLE_NODE): BoxActor {
    const box = new BoxActor(this, name, this.disk(name, roles), [], this.suite())
    this.#boxes.set(name, box)
    this.net.run(box)
    this.net.replug(name, isPlug(place) ? { eth0: place } : place)
    return box
  }

  /** A relay on the open Internet, both families; `nr` (1–9) tells several apart. */
  relay(name: string, nr = 1, settings: Partial<RelaySettings> = {}): RelayBox {
    const relay = new RelayBox(this, name, this.disk(name, ROLE_RELAY), this.suite(), settings)
    this.relays.set(name, relay)
    this.net.run(relay)
    this.net.replug(name, { eth0: at(this.net.core, `198.51.100.5${nr}`, `2001:db8:5${nr}::1`) })
    return relay
  }

  named(name: string): BoxActor {
    const box = this.#boxes.get(name)
    if (box === undefined) throw new BugError(`no box ${name}`)
    return box
  }

  /** Runs until everybody is a registered member. */
  up(limit: Millis = seconds(60)): boolean {
    const all = [...this.relays.values(), ...this.#boxes.values()]
    return this.net.until(() => all.every((b) => b.registered), limit)
  }

  /** `box` asks for a name; the answer, or null after `limit`. */
  ask(box: BoxActor, name: string, limit: Millis = seconds(3)): Directed | null {
    box.directed.delete(name)
    box.ask(name, this.net.now)
    this.net.until(() => box.answered(name) !== null, limit)
    return box.answered(name)
  }

  /** As a host does: asks again after a failure, until `limit`. */
  insist(box: BoxActor, name: string, limit: Millis): Directed | null {
    const end = this.net.now + limit
    for (;;) {
      const answer = this.ask(box, name)
      if (answer?.ok === true || this.net.now >= end) return answer
      this.net.wait(millis(500))
    }
  }
}

export const fqdn = (box: { readonly name: string }): string => `${box.name}.ntm.example`

/** A registered box's virtual IPv4 address. */
export function vipOf(box: BoxActor): Ip4 {
  if (box.registration === null) throw new BugError(`${box.name} is not registered`)
  return box.registration.vip4
}

const isPlug = (p: Plug | Readonly<Record<string, Plug>>): p is Plug => 'realm' in p && Array.isArray((p as Plug).ips)
