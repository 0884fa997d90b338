import { Alarm } from '#io/alarm.ts'
import type { Node } from '#ntm-lib/negotiate/node.ts'
import type { NodeEvent } from '#ntm-lib/negotiate/node-events.ts'
import type { Tunnels } from '#ntm-lib/negotiate/tunnels.ts'
import type { Clock } from '#ntm-lib/ports/machine.ts'
import type { PacketHost } from './packet-host.ts'

/** What the shell needs of a Node; a test drives bare tunnels in the same way. */
export type Negotiation = Pick<Node, 'start' | 'onMirror' | 'settle' | 'tick' | 'deadline' | 'poll'> & {
  readonly tunnels: Pick<Tunnels, 'doubtMtu'>
}

export type NodeShellParts = {
  /** Its tunnels mirrored in the cells that `host` was started with. */
  readonly node: Negotiation
  readonly host: Pick<PacketHost<never>, 'apply' | 'send' | 'flush' | 'onMirror' | 'onUdpError'>
  readonly clock: Clock
  readonly onEvent: (event: NodeEvent) => void
}

/**
 * Joins a Node to the packet side and to time. What needs the whole machine (its outputs, its timer) is done once per turn of the event
 * loop, however many events came in it.
 */
export class NodeShell {
  readonly #p: NodeShellParts
  readonly #alarm: Alarm
  #touched = false
  #stopped = false

  constructor(parts: NodeShellParts) {
    this.#p = parts
    this.#alarm = new Alarm(parts.clock, () => {
      parts.node.tick(parts.clock.now())
      this.#settle()
    })
  }

  start(): void {
    const { host, node, clock } = this.#p
    host.onMirror((event) => {
      node.onMirror(event, clock.now())
      this.touch()
    })
    host.onUdpError((to, code) => {
      if (code !== 'EMSGSIZE') return
      node.tunnels.doubtMtu(to.ip, clock.now())
      this.touch()
    })
    node.start(clock.now())
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
    this.#alarm.stop()
  }

  #settle(): void {
    if (this.#stopped) return
    const { node, clock } = this.#p
    this.#perform()
    // What can wait until all this has left comes now; later it would be the timer's.
    const due = node.deadline()
    if (due !== null && due <= clock.now()) {
      node.tick(clock.now())
      this.#perform()
    }
    this.#alarm.set(node.deadline())
  }

  /** In the node's order: an answer may leave only when the packet side has the keys that it announces. */
  #perform(): void {
    const { node, host, clock } = this.#p
    node.settle(clock.now())
    for (let out = node.poll(); out !== null; out = node.poll()) {
      if (out.out === 'send') host.send(out.to, out.bytes, out.via)
      else if (out.out === 'mirror') host.apply(out.command)
      else this.#p.onEvent(out.event)
    }
    host.flush()
  }
}
