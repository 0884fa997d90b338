import type { Ip4 } from '#ntm-lib/addr/ip4.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'
import { type Instant, type Millis, millis, seconds } from '#ntm-lib/base/time.ts'
import type { Path } from '#ntm-lib/negotiate/tunnels.ts'
import { ROLE_NODE, ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import type { BoxActor } from './actors.ts'
import { Fleet, type FleetWish, fqdn, vipOf } from './fleet.ts'
import { Flow } from './flow.ts'
import type { Plug, Realm } from './internet.ts'
import { at, global4, natted } from './places.ts'

/** Where SEED 002 table 1 lets a node be: the open Internet, or one of three private networks. */
export type Spot = 'G' | 'P(A)' | 'P(B)' | 'P(C)'

/** A mover and its peer with an open path and packets both ways, before anything happens. */
export type Pair = {
  readonly fleet: Fleet
  readonly mover: BoxActor
  readonly peer: BoxActor
  /** Inner addresses of the two. */
  readonly ips: readonly [Ip4, Ip4]
  /** From the mover, and to it. */
  readonly up: Flow
  readonly down: Flow
  readonly path: Path
}

/** A fleet with one relay (or two) and the three private networks. */
export class Ground {
  readonly fleet: Fleet
  readonly realms: Readonly<Record<'P(A)' | 'P(B)' | 'P(C)', Realm>>
  #next = 50

  constructor(wish: FleetWish = {}, relays = 1) {
    this.fleet = new Fleet(wish)
    const { net } = this.fleet
    this.realms = { 'P(A)': natted(net, 'A', 101), 'P(B)': natted(net, 'B', 102), 'P(C)': natted(net, 'C', 103) }
    for (let nr = 1; nr <= relays; nr++) this.fleet.relay(`relay${nr}`, nr)
  }

  /** A fresh address at a spot: moving to where one is gives another address there. */
  spot(spot: Spot): Plug {
    const nr = this.#next++
    return spot === 'G' ? at(this.fleet.net.core, global4(nr)) : at(this.realms[spot], `192.168.1.${nr}`)
  }

  /** Opens a path from the mover to a peer that is a node, and lets packets flow. */
  pair(mover: Plug | Readonly<Record<string, Plug>>, peer: Plug, every: Millis = EVERY): Pair {
    const [a, b] = [this.fleet.box('mover', mover), this.fleet.box('peer', peer, ROLE_NODE)]
    this.#up()
    return this.#open(a, b, fqdn(b), () => [vipOf(a), vipOf(b)], every)
  }

  /** The same with an ordinary server behind a terminator: the far end of the packets is the terminator. */
  general(mover: Plug, every: Millis = EVERY): Pair {
    const a = this.fleet.box('mover', mover)
    const tt = this.fleet.box('tt', at(this.fleet.net.core, '198.51.100.9', '2001:db8:9::1'), ROLE_TT)
    this.#up()
    const server = 'www.example.com'
    const found = (): readonly [Ip4, Ip4] => {
      const answer = a.answered(server)
      if (answer?.ok !== true || answer.target === null) throw new BugError('no target')
      return [vipOf(a), answer.target.vip4]
    }
    return this.#open(a, tt, server, found, every)
  }

  #up(): void {
    if (!this.fleet.up()) throw new BugError(`not everybody came up\n${this.fleet.net.mermaid()}`)
    // Registrations settle, relays are measured.
    this.fleet.net.wait(seconds(3))
  }

  #open(mover: BoxActor, peer: BoxActor, name: string, addresses: () => readonly [Ip4, Ip4], every: Millis): Pair {
    const { fleet } = this
    const answer = fleet.insist(mover, name, seconds(10))
    if (answer?.ok !== true) throw new BugError(`no path: ${JSON.stringify(answer)}\n${fleet.net.mermaid()}`)
    const path = mover.tunnels.byContract(answer.contractHash)
    if (path === null) throw new BugError('the path is not there')
    const ips = addresses()
    const up = new Flow(fleet.net, { from: mover, to: peer, source: ips[0], destination: ips[1], every })
    fleet.net.until(() => up.arrivals.length > 0, seconds(1))
    const down = new Flow(fleet.net, { from: peer, to: mover, source: ips[1], destination: ips[0], every })
    fleet.net.wait(seconds(3))
    return { fleet, mover, peer, ips, up, down, path }
  }
}

/** What became of the two flows since a moment. Times in milliseconds; infinite when nothing came again. */
export type Outcome = {
  /** From the moment to the first packet that the mover got, and to the first of its own that arrived, both sent or under way after it. */
  readonly downAfter: number
  readonly upAfter: number
  readonly lostDown: number
  readonly lostUp: number
}

export function outcome({ up, down }: Pair, since: Instant): Outcome {
  return {
    downAfter: down.firstAfter(since) - since,
    upAfter: firstSentAfter(up, since) - since,
    lostDown: down.lost.length,
    lostUp: up.lost.length,
  }
}

/** Stops both flows and lets what is under way arrive. */
export function finish({ fleet, up, down }: Pair): void {
  up.stop()
  down.stop()
  fleet.net.wait(seconds(1))
}

/** When the first packet arrived that was sent at or after `since`. */
export function firstSentAfter(flow: Flow, since: Instant): number {
  return flow.arrivals.find((a) => (flow.sentAt[a.nr] ?? 0) >= since)?.at ?? Number.POSITIVE_INFINITY
}

/** Packets of a call: 50 a second. */
export const EVERY = millis(20)
