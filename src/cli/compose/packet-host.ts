import type { UdpOptions } from '#io/udp-native.ts'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { Via } from '#ntm-lib/addr/via.ts'
import type { MirrorCommand, MirrorEvent } from '#ntm-lib/negotiate/mirror.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { PacketOrder, PacketSaid } from '../worker/words.ts'

/** The packet side as the control thread sees it. Everything that is told to it arrives in the order in which it was told. */
export interface PacketHost<In> {
  /** The UDP port actually bound. */
  readonly udpPort: number
  /** What the role's start said. */
  readonly started: unknown
  /** Advances four times a second while packets are being looked after. */
  readonly beat: number
  apply(command: MirrorCommand): void
  /** A control datagram, by the same socket as the packets. `bytes` is the host's from now on. */
  send(to: Endpoint, bytes: Uint8Array, via?: Via | null): void
  tell(input: In): void
  /** Rejects with what the role threw, or an IoFault when the packet side has ended. */
  ask(input: In): Promise<unknown>
  /** What was told since the last turn leaves now rather than at the end of this one. */
  flush(): void
  /** For who negotiates: `onMirror` and `onUdpError` have one listener each; what comes before is lost. */
  onMirror(take: (event: MirrorEvent) => void): void
  onUdpError(tell: (to: Endpoint, code: string) => void): void
  /** Counters and ports' counts are up to date when it resolves. */
  refresh(): Promise<void>
  stop(): Promise<void>
}

/** What every host is started with. */
export type HostParts<Out> = {
  readonly udp: UdpOptions
  /** From `mirrorCells`, the same as the negotiation's. */
  readonly cells: Float64Array
  readonly log: Log
  readonly counters: Counters
  readonly onOut: (out: Out) => void
  /** The packet side crashed: the role ends. */
  readonly onFail: (why: Error) => void
}

/** The half of a host that does not care where packets are moved: orders leave together, what is said goes to its listener. */
export abstract class Orders<In, Out> {
  readonly #onOut: (out: Out) => void
  #orders: PacketOrder[] = []
  #takeMirror: (event: MirrorEvent) => void = () => {}
  #tellError: (to: Endpoint, code: string) => void = () => {}

  constructor(onOut: (out: Out) => void) {
    this.#onOut = onOut
  }

  protected abstract post(orders: readonly PacketOrder[]): void

  apply(command: MirrorCommand): void {
    this.#order({ order: 'mirror', command })
  }

  send(to: Endpoint, bytes: Uint8Array, via: Via | null = null): void {
    // A clone takes along all of the memory that a view looks at.
    const whole = bytes.byteLength === bytes.buffer.byteLength
    this.#order({ order: 'send', to, bytes: whole ? bytes : new Uint8Array(bytes), via })
  }

  tell(input: In): void {
    this.#order({ order: 'role', input })
  }

  flush(): void {
    const orders = this.#orders
    if (orders.length === 0) return
    this.#orders = []
    this.post(orders)
  }

  onMirror(take: (event: MirrorEvent) => void): void {
    this.#takeMirror = take
  }

  onUdpError(tell: (to: Endpoint, code: string) => void): void {
    this.#tellError = tell
  }

  protected heard(said: PacketSaid): void {
    switch (said.said) {
      case 'mirror':
        for (const event of said.events) this.#takeMirror(event)
        return
      case 'udp-error':
        return this.#tellError(said.to, said.code)
      case 'role':
        return this.#onOut(said.out as Out)
      default:
        return said satisfies never
    }
  }

  #order(order: PacketOrder): void {
    this.#orders.push(order)
    if (this.#orders.length === 1) queueMicrotask(() => this.flush())
  }
}
