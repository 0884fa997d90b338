import { nodeCrypto } from '#io/crypto-node.ts'
import { mirrorCells } from '#io/mirror-cells.ts'
import type { Millis } from '#ntm-lib/base/time.ts'
import type { Identity } from '#ntm-lib/crypto/identity.ts'
import type { KeyLimits } from '#ntm-lib/crypto/seal.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import type { Path } from '#ntm-lib/negotiate/tunnels.ts'
import { innerPacket } from '#test/support/inner.ts'
import { testNetwork } from '#test/support/network.ts'
import {
  A4,
  B4,
  endpointOf,
  type RoutePair,
  type RouteWish,
  routePair,
  type TunnelsWish,
  tunnelsOf,
} from '#test/support/route.ts'
import { seededCrypto } from '#test/support/seeded-crypto.ts'
import { mode } from './mirror-mode.ts'
import type { Nat } from './nat.ts'
import { TunnelEnd } from './tunnel-end.ts'
import type { Weather } from './weather.ts'
import { calm } from './weather.ts'
import { World } from './world.ts'

export const ALICE = endpointOf('192.0.2.1:4330')
export const BOB = endpointOf('198.51.100.2:4330')
export const EVE = endpointOf('203.0.113.66:6666')

/** One network for all stories: making keys is the slow part. */
const network = testNetwork(seededCrypto('sim network'))
const aliceId = network.member('alice.plant.example')
const bobId = network.member('bob.plant.example')

export type PairWish = {
  /** Packets elsewhere, whatever the mode: `lag` for all that passes between the two threads, rows of the table. */
  readonly workers?: { readonly lag?: Millis; readonly rows?: number; readonly limits?: KeyLimits }
  readonly seed?: string | number
  readonly weather?: Weather
  readonly nat?: Nat
  readonly alice?: TunnelsWish
  readonly bob?: TunnelsWish
  readonly route?: Partial<RouteWish>
  readonly wrap?: (name: string, suite: CryptoSuite) => CryptoSuite
}

/** Alice opens, Bob accepts; both are in a world of their own. */
export class Pair {
  readonly world: World
  readonly suite: CryptoSuite
  alice: TunnelEnd
  bob: TunnelEnd
  routes: RoutePair
  readonly #wish: PairWish
  readonly #secrets: Readonly<Record<string, Uint8Array>>
  #starts = 0

  constructor(wish: PairWish = {}) {
    this.#wish = wish
    this.suite = seededCrypto(`pair ${wish.seed ?? 0}`)
    this.#secrets = { alice: nodeCrypto.hash(Uint8Array.of(1)), bob: nodeCrypto.hash(Uint8Array.of(2)) }
    this.world = new World(wish.weather ?? calm)
    this.routes = this.newRoutes()
    this.alice = this.start('alice')
    this.bob = this.start('bob')
  }

  newRoutes(): RoutePair {
    return routePair(this.suite, network, {
      opener: aliceId,
      acceptor: bobId,
      openerAt: [ALICE],
      acceptorAt: [BOB],
      ...this.#wish.route,
    })
  }

  /** A start of the program: fresh memory, the same identity and the same reset secret. */
  start(name: 'alice' | 'bob'): TunnelEnd {
    const seeded = seededCrypto(`${name} ${this.#wish.seed ?? 0} ${this.#starts++}`)
    const suite = this.#wish.wrap?.(name, seeded) ?? seeded
    const identity: Identity = name === 'alice' ? aliceId : bobId
    const secret = this.#secrets[name]
    const workers = this.#wish.workers ?? (mode.mirror ? {} : null)
    const limits = workers?.limits === undefined ? {} : { limits: workers.limits }
    const mirror = workers === null ? null : { suite, cells: mirrorCells(workers.rows ?? 64), ...limits }
    const made = tunnelsOf(suite, network, identity, {
      ...(mirror === null ? {} : { mirror }),
      ...(secret === undefined ? {} : { resetSecret: secret }),
      ...this.#wish[name],
    })
    const end = new TunnelEnd(name, mirror === null ? made : { ...made, mirror })
    end.lag = workers?.lag ?? end.lag
    if (name === 'alice') this.alice = end
    else this.bob = end
    this.world.add(end, name === 'alice' ? ALICE : BOB, name === 'alice' ? (this.#wish.nat ?? null) : null)
    return end
  }

  /** The seeds' order: the acceptor is told first. */
  direct(): void {
    this.installBob()
    this.installAlice()
  }

  installAlice(): Path {
    return must(this.alice.tunnels.install(this.routes.opener, { peerName: 'bob.plant.example' }, this.world.now))
  }

  installBob(): Path {
    return must(this.bob.tunnels.install(this.routes.acceptor, {}, this.world.now))
  }

  get alicePath(): Path | null {
    return this.alice.tunnels.byContract(this.routes.contractHash)
  }

  get bobPath(): Path | null {
    return this.bob.tunnels.byContract(this.routes.contractHash)
  }

  get bothOpen(): boolean {
    return this.alicePath?.isOpen === true && this.bobPath?.isOpen === true
  }

  /** Whether both ends seal in the same epoch. */
  get agreed(): boolean {
    const [a, b] = [this.alicePath?.epochs.cur?.epoch, this.bobPath?.epochs.cur?.epoch]
    return a !== undefined && a === b
  }

  aliceSays(length = 100): ReturnType<TunnelEnd['send']> {
    return this.#says(this.alice, this.alicePath, innerPacket(A4, B4, length))
  }

  bobSays(length = 100): ReturnType<TunnelEnd['send']> {
    return this.#says(this.bob, this.bobPath, innerPacket(B4, A4, length))
  }

  #says(end: TunnelEnd, path: Path | null, inner: Uint8Array): ReturnType<TunnelEnd['send']> {
    return path === null ? { ok: false, why: 'not-open' } : end.send(path, inner, this.world.now)
  }
}

export const simNetwork = network
export const alice = aliceId
export const bob = bobId

function must(installed: ReturnType<TunnelEnd['tunnels']['install']>): Path {
  if (!installed.ok) throw new Error(`refused: ${installed.code} ${installed.why}`)
  return installed.path
}
