import { Gate } from '#io/thread-gate.ts'
import type { MirrorEvent } from '#ntm-lib/negotiate/mirror.ts'
import type { GateMemory, PacketSaid } from './words.ts'

export const gateMemory = (): GateMemory => [new SharedArrayBuffer(Gate.bytes), new SharedArrayBuffer(Gate.bytes)]

/**
 * Bounds what one packet worker says and the control thread has not heard yet, so that a busy control thread is not buried: what
 * anybody can send (datagrams, ICMP errors) apart from what only peers can cause.
 */
export class Gates {
  readonly #strangers: Gate
  readonly #peers: Gate

  constructor([strangers, peers]: GateMemory) {
    this.#strangers = new Gate(strangers, MOST_OF_STRANGERS)
    this.#peers = new Gate(peers, MOST_OF_PEERS)
  }

  /** Whether the event may be said; for the worker. */
  enter(event: MirrorEvent['event'] | 'udp-error'): boolean {
    return (isStrangers(event) ? this.#strangers : this.#peers).enter()
  }

  /** What was said has been heard; for the control thread. */
  leave(said: PacketSaid): void {
    if (said.said === 'udp-error') this.#strangers.leave()
    else if (said.said === 'mirror') {
      for (const { event } of said.events) (isStrangers(event) ? this.#strangers : this.#peers).leave()
    }
  }
}

const isStrangers = (event: string): boolean => event === 'datagram' || event === 'udp-error'

export const MOST_OF_STRANGERS = 1024
/** Each is something genuine. */
const MOST_OF_PEERS = 16_384
