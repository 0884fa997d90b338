import type { CoordinatorSettings } from '#coordinator/settings.ts'
import { nodeCrypto } from '#io/crypto-node.ts'
import { type Ip4, ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import { type Millis, seconds } from '#ntm-lib/base/time.ts'
import { nodeIdOf } from '#ntm-lib/crypto/schedule.ts'
import type { Directed } from '#ntm-lib/negotiate/node-events.ts'
import { ROLE_BRIDGE, ROLE_NODE, ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import { innerPacket } from '#test/support/inner.ts'
import { endpointOf } from '#test/support/route.ts'
import { BoxActor, CoordinatorActor } from './actors.ts'
import { type Disk, Home } from './home.ts'
import { Nat } from './nat.ts'
import { calm, type Weather } from './weather.ts'
import { World } from './world.ts'

export type { Disk, Logged } from './home.ts'
export { BoxActor, CoordinatorActor }

//  bridge 192.168.1.2 ── NAT 203.0.113.5 ──┬── coordinator 198.51.100.1
//                                          └── terminator  198.51.100.9
export const DC = endpointOf('198.51.100.1:4330')
export const TT = endpointOf('198.51.100.9:4330')
export const HOME = endpointOf('192.168.1.2:4330')
export const OUTSIDE = endpointOf('203.0.113.5:40000')
export const EVE = endpointOf('192.0.2.66:6666')

export type SystemWish = {
  readonly seed?: number
  readonly weather?: Weather
  readonly settings?: Partial<CoordinatorSettings>
}

/** The whole product in virtual time: a coordinator with a store, a bridge behind a NAT and a terminator. */
export class System extends Home {
  readonly world: World
  readonly nat = new Nat(OUTSIDE.ip)
  dc: CoordinatorActor
  bridge: BoxActor
  tt: BoxActor

  constructor({ seed = 1, weather = calm, settings = {} }: SystemWish = {}) {
    const world = new World(weather)
    super({ seed, clock: world, endpoints: [DC], settings })
    this.world = world
    this.dc = this.startCoordinator()
    this.tt = this.start('tt', this.disk('tt1', ROLE_TT))
    this.bridge = this.start('bridge', this.disk('plc', ROLE_NODE | ROLE_BRIDGE))
  }

  /** Starts a box's program on its disk; a second one of the same actor name replaces the first. */
  start(actor: 'tt' | 'bridge' | 'other', disk: Disk): BoxActor {
    const at = actor === 'bridge' ? HOME : actor === 'tt' ? TT : endpointOf('192.0.2.77:4330')
    const box = new BoxActor(this, actor, disk, [{ type: 'local', endpoint: at, priority: 100 }], this.suite())
    this.world.add(box, at, actor === 'bridge' ? this.nat : null)
    if (actor === 'tt') this.tt = box
    if (actor === 'bridge') this.bridge = box
    return box
  }

  startCoordinator(): CoordinatorActor {
    this.dc = new CoordinatorActor(this, this.suite())
    this.world.add(this.dc, DC)
    return this.dc
  }

  /** Runs until everybody is a registered member. */
  up(limit: Millis = seconds(60)): boolean {
    return this.world.run(() => this.bridge.registered && this.tt.registered, limit)
  }

  /** Asks for a name and waits for the answer. */
  resolve(server: string, limit: Millis = seconds(2), sources: readonly Ip4[] = []): Directed {
    this.bridge.directed.delete(server)
    this.bridge.ask(server, this.world.now, sources)
    this.world.run(() => this.bridge.answered(server) !== null, limit)
    return this.bridge.answered(server) ?? { ok: false, code: 'timeout', text: 'the test waited in vain' }
  }

  /** As a host does: asks again after a failure, until `limit`. */
  insist(server: string, limit: Millis): Directed {
    const end = this.world.now + limit
    for (;;) {
      const answer = this.resolve(server)
      if (answer.ok || this.world.now >= end) return answer
      this.world.wait(seconds(0.5))
    }
  }

  /** A packet from the bridge to a server and one back; whether both arrived. */
  exchange(directed: Directed, limit: Millis = seconds(2)): boolean {
    if (!directed.ok || directed.target === null || this.bridge.registration === null) return false
    const [near, far] = [this.bridge, this.tt].map((b) => b.tunnels.byContract(directed.contractHash))
    if (near === null || near === undefined || far === null || far === undefined) return false
    const [own, server] = [this.bridge.registration.vip4, directed.target.vip4].map(dotted)
    const before = [this.bridge.received.length, this.tt.received.length]
    for (let i = 0; i < 20; i++) {
      this.bridge.say(near, innerPacket(own ?? '', server ?? '', 100), this.world.now)
      this.world.run(() => this.tt.received.length > (before[1] ?? 0), seconds(0.1))
      this.tt.say(far, innerPacket(server ?? '', own ?? '', 100), this.world.now)
      const both = () => this.bridge.received.length > (before[0] ?? 0) && this.tt.received.length > (before[1] ?? 0)
      if (this.world.run(both, seconds(limit / 20_000))) return true
    }
    return false
  }

  /** Everything durable at the coordinator, as text to compare. */
  rows(): string {
    const { members, servers } = { members: this.store.members(), servers: [...this.store.servers()] }
    return JSON.stringify(
      [
        members.map((m) => [hex(m.node), m.name, m.pair, m.chain.map(hex)]),
        servers.map((s) => [hex(s.node), s.name, s.pair]),
      ],
      (_, v) => (v instanceof Uint8Array ? hex(v) : v),
    )
  }

  presenceOf(disk: Disk) {
    return this.dc.core.presences.get(nodeIdOf(nodeCrypto, disk.key.public))
  }
}

export const dotted = (ip: Ip4): string => [24, 16, 8, 0].map((s) => (ip >>> s) & 255).join('.')
export const vip = (word: number): Ip4 => ip4FromWord(word)
