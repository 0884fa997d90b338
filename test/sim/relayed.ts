import { nodeId } from '#ntm-lib/addr/ids.ts'
import type { Whereabouts } from '#ntm-lib/wire/messages/direction.ts'
import { endpointOf } from '#test/support/route.ts'
import { seededCrypto } from '#test/support/seeded-crypto.ts'
import { Nat, SYMMETRIC } from './nat.ts'
import { ALICE, BOB, Pair, type PairWish } from './pair.ts'
import { RelayActor } from './relay-actor.ts'

export const RELAY = endpointOf('203.0.113.200:4330')

/** The coordinator's three words in the seeds' order: relay, acceptor, opener (SEED 003 §3.3). */
export class RelayedPair extends Pair {
  readonly relay: RelayActor
  readonly natA: Nat
  readonly natB: Nat
  readonly #way: Whereabouts['way']

  /** Both are behind NATs through which nothing comes unasked, each by its own mapping. */
  constructor(wish: PairWish & { readonly way?: Whereabouts['way']; readonly open?: boolean } = {}) {
    super(wish)
    this.#way = wish.way ?? 'relay'
    this.relay = new RelayActor('relay', seededCrypto(`relay ${wish.seed ?? 0}`))
    this.world.add(this.relay, RELAY)
    this.natA = new Nat(endpointOf('192.0.2.99:1').ip, SYMMETRIC)
    this.natB = new Nat(endpointOf('198.51.100.99:1').ip, SYMMETRIC)
    if (wish.open !== true) {
      this.world.move('alice', ALICE, this.natA)
      this.world.move('bob', BOB, this.natB)
    }
    this.overRelay()
  }

  /** New contracts lead through the relay too. */
  overRelay(): void {
    const keys = [this.suite.random(32), this.suite.random(32)] as const
    const { opener, acceptor } = this.routes
    const leg = (key: Uint8Array) => ({
      relay: nodeId(new Uint8Array(16).fill(5)),
      endpoints: [RELAY],
      key,
      leaseSeconds: 3600,
    })
    this.routes = {
      ...this.routes,
      opener: { ...opener, way: this.#way, relay: leg(keys[0]) },
      acceptor: { ...acceptor, way: this.#way, relay: leg(keys[1]) },
    }
    this.#keys = keys
  }

  installRelay(): void {
    const { pathIds } = this.routes.contract
    const [openerKey, acceptorKey] = this.#keys
    this.relay.direct({ pathIds, openerKey, acceptorKey, leaseSeconds: 3600 }, this.world.now)
  }

  override direct(): void {
    this.installRelay()
    super.direct()
  }

  #keys: readonly [Uint8Array, Uint8Array] = [new Uint8Array(32), new Uint8Array(32)]
}
