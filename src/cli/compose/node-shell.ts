import type { UdpPort } from '#io/udp-native.ts'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { Node } from '#ntm-lib/negotiate/node.ts'
import type { NodeEvent } from '#ntm-lib/negotiate/node-events.ts'
import type { Path } from '#ntm-lib/negotiate/tunnels.ts'
import type { Clock } from '#ntm-lib/ports/machine.ts'
import { CLASS_CAPSULATED } from '#ntm-lib/wire/header.ts'

export type NodeShellParts = {
  readonly node: Node
  readonly udp: UdpPort
  readonly clock: Clock
  readonly onEvent: (event: NodeEvent) => void
  /** A genuine inner packet, in an array of its own. */
  readonly onInner: (path: Path, bytes: Uint8Array) => void
  /** After a burst of datagrams: the role sends what it collected. */
  readonly onBurstEnd: () => void
}

/**
 * Joins a Node to its UDP socket and to time. Capsulated Packets go straight to the tunnels; everything that needs the
 * whole machine (its outputs, its timer) is done once per turn of the event loop, however many packets came in it.
 */
export class NodeShell {
  readonly #p: NodeShellParts
  #timer: NodeJS.Timeout | undefined
  #touched = false
  #stopped = false

  constructor(parts: NodeShellParts) {
    this.#p = parts
  }

  start(): void {
    this.#p.udp.onDatagram((from, bytes) => this.#take(from, bytes))
    this.#p.udp.onError(({ code, to }) => {
      if (code !== 'EMSGSIZE') return
      this.#p.node.tunnels.doubtMtu(to.ip, this.#p.clock.now())
      this.touch()
    })
    this.#p.node.start(this.#p.clock.now())
    this.touch()
  }

  /** The node or its tunnels were used: their outputs are performed at the end of this turn. */
  touch(): void {
    if (this.#touched || this.#stopped) return
    this.#touched = true
    setImmediate(() => {
      this.#touched = false
      this.#settle()
    })
  }

  /** Sends what the node has to say now, for the orderly stop. */
  stop(): void {
    this.#settle()
    this.#stopped = true
    clearTimeout(this.#timer)
    this.#p.udp.flush()
  }

  #take(from: Endpoint, bytes: Uint8Array): void {
    const { node, clock } = this.#p
    if (((bytes[0] ?? 0) & 15) === CLASS_CAPSULATED) {
      const opened = node.tunnels.open(from, bytes, clock.now())
      if (opened !== null) this.#p.onInner(opened.path, opened.bytes)
    } else node.handle(from, bytes, clock.now())
    this.touch()
  }

  #settle(): void {
    if (this.#stopped) return
    const { node, udp, clock } = this.#p
    this.#p.onBurstEnd()
    node.settle(clock.now())
    for (let out = node.poll(); out !== null; out = node.poll()) {
      if (out.out === 'send') udp.send(out.to, out.bytes)
      else this.#p.onEvent(out.event)
    }
    this.#arm()
  }

  #arm(): void {
    clearTimeout(this.#timer)
    const { node, clock } = this.#p
    const due = node.deadline()
    if (due === null || this.#stopped) return
    this.#timer = setTimeout(
      () => {
        node.tick(clock.now())
        this.#settle()
      },
      Math.max(0, Math.ceil(due - clock.now())),
    )
  }
}

/** Whether the CPU has AES instructions; without them ChaCha20-Poly1305 is several times faster. */
export const hasAes = (cpuinfo: string): boolean => /^(flags|Features)\s*:.*\baes\b/m.test(cpuinfo)
