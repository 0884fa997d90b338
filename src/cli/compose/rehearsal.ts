import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { type Ip4, ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import { after, type Instant, instant, millis } from '#ntm-lib/base/time.ts'
import type { NodeEvent } from '#ntm-lib/negotiate/node-events.ts'
import { ROLE_NODE, ROLE_RELAY } from '#ntm-lib/wire/certificate.ts'
import type { NtmNode } from './ntm-node.ts'
import type { Undo } from './process.ts'
import { PlayedCoordinator, PlayedNode, PlayedRelay, type Player, ZONE } from './rehearsal-cast.ts'
import { PlayedNames } from './rehearsal-names.ts'

/**
 * What every role does before it is ready, and goes on with little by little while it has little else to do: V8 compiles what is used often. The
 * first part takes a quarter of a second, in which a desktop computer does all of it once. Where coming this far took long it waits: a slow processor does
 * but a small step in that time, and there it is more important to be ready. The rest takes no more than `SHARE` of a processor.
 */
export function rehearse(undo: Undo): void {
  const begun = performance.now()
  const acts = actsOf(new Rehearsal(), TIMES)
  const firstMs = begun < SLOW_START_MS ? FIRST_MS : 0
  while (performance.now() - begun < firstMs && acts.next().done !== true);
  let timer: NodeJS.Timeout | undefined
  const later = (pauseMs: number): void => {
    timer = setTimeout(() => {
      const from = performance.now()
      if (acts.next().done !== true) later((performance.now() - from) / SHARE)
    }, pauseMs).unref()
  }
  later(LATER_MS)
  undo.add(() => clearTimeout(timer))
}

function* actsOf(rehearsal: Rehearsal, times: number): Generator<void> {
  yield* rehearsal.opening()
  for (let i = 0; i < times; i++) yield* rehearsal.acts()
}

/**
 * A network in memory, with keys that are thrown away, in which everything is done that somebody will wait for: a program that has just started
 * does each thing several times more slowly when it does it for the first time (`docs/performance.md`). A coordinator, a relay, a node on the
 * open Internet and two behind NATs; names are asked for, contracts made, tunnels opened directly and through the relay, and a node moves.
 */
export class Rehearsal {
  readonly #dc = new PlayedCoordinator(at(1))
  readonly #players: readonly Player[]
  readonly #members: readonly { readonly made: NtmNode }[]
  readonly #laptop: PlayedNode
  readonly #tablet: PlayedNode
  readonly #plant: PlayedNode
  #now: Instant = instant(0)
  #registered = 0
  #answered = 0
  #relayed = 0
  #times = 0

  constructor() {
    const onEvent = (event: NodeEvent): void => {
      if (event.event === 'registered' && event.first) this.#registered++
      else if (event.event === 'path-way' && event.way === 'relay') this.#relayed++
    }
    const node = (name: string, inside: Endpoint, outside: Endpoint): PlayedNode =>
      new PlayedNode(this.#dc.box(name, ROLE_NODE), ROLE_NODE, inside, outside, onEvent)
    this.#laptop = node('laptop', at(10), at(10))
    this.#tablet = node('tablet', PRIVATE, at(11))
    this.#plant = node('plant', PRIVATE, at(12))
    const relay = new PlayedRelay(this.#dc.box('relay', ROLE_RELAY), at(2), onEvent)
    const members = [relay, this.#laptop, this.#tablet, this.#plant]
    this.#members = members
    this.#players = [this.#dc, ...members]
  }

  /** Everybody registers, one after the other; once, before the acts. */
  *opening(): Generator<void> {
    for (const { made } of this.#members) {
      made.node.start(this.#now)
      this.#play()
      yield
    }
    this.#laptop.moveTo(at(10), 1, this.#now)
    this.#pass(300)
    yield
  }

  /** Everybody is a registered member. */
  get isReady(): boolean {
    return this.#registered === this.#players.length - 1
  }

  /** Programs that were given the address they asked for until now, so tunnels that opened: two each time. */
  get answered(): number {
    return this.#answered
  }

  /** How often an end was told that its path goes through the relay: both ends of every second path at least. */
  get relayed(): number {
    return this.#relayed
  }

  /** All of it once more, act by act. */
  *acts(): Generator<void> {
    this.#ask(this.#laptop, 'plant')
    yield
    this.#laptop.moveTo(at(this.#times % 2 === 0 ? 20 : 10), 2 + this.#times, this.#now)
    this.#pass(1)
    yield
    this.#ask(this.#tablet, 'plant')
    yield
    this.#times++
    for (const asker of [this.#laptop, this.#tablet]) this.#part(asker)
    this.#pass(20)
  }

  #ask(asker: PlayedNode, whom: string): void {
    const { registration, made } = asker
    if (registration === null) return
    const names = new PlayedNames((tag, wanted, now) => made.node.direct(tag, wanted, now))
    asker.names = names
    names.ask(`${whom}.${ZONE}`, registration, this.#now)
    this.#pass(1)
    if (names.answer !== null) this.#answered++
  }

  /** As if they had never met. */
  #part(asker: PlayedNode): void {
    asker.made.node.tunnels.closePeer(this.#plant.id, 'unused', this.#now)
    this.#plant.made.node.tunnels.closePeer(asker.id, 'unused', this.#now)
    this.#dc.part(asker.id, this.#plant.id)
  }

  #pass(ms: number): void {
    this.#play()
    this.#now = after(this.#now, millis(ms))
    for (const player of this.#players) player.tick(this.#now)
    this.#play()
  }

  /** What is said is heard at once, until nobody says anything. */
  #play(): void {
    for (let silent = false; !silent; ) {
      silent = true
      for (const player of this.#players)
        for (let said = player.poll(this.#now); said !== null; said = player.poll(this.#now)) {
          const { from, to, bytes } = said
          silent = false
          this.#players.find((p) => p.isAt(to))?.handle(from, bytes, this.#now)
        }
    }
  }
}

const network = (host: number): Ip4 => ip4FromWord(0xcb00_7100 + host)
/** RFC 5737: nobody is really there. */
const at = (host: number): Endpoint => ({ ip: network(host), port: 4330 })
/** Behind a NAT, the same everywhere. */
const PRIVATE: Endpoint = { ip: ip4FromWord(0xc0a8_0102), port: 4330 }
/** By then most of it runs three times as quickly as the second time. */
const TIMES = 12
const FIRST_MS = 250
/** A desktop is here after a sixth of that. */
const SLOW_START_MS = 1500
const LATER_MS = 1000
const SHARE = 0.1
