import { systemClock } from '#io/clock.ts'
import { IoFault } from '#io/fault.ts'
import { nodeKey } from '#ntm-lib/addr/ids.ts'
import type { NodeEvent } from '#ntm-lib/negotiate/node-events.ts'
import type { Tunnels } from '#ntm-lib/negotiate/tunnels.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import { decodeContract } from '#ntm-lib/wire/contract.ts'
import type { PathExtend, RouteDirection } from '#ntm-lib/wire/messages/direction.ts'
import type { RegistrationResponse } from '#ntm-lib/wire/messages/registration.ts'
import type { TtIn, TtOut, VirtualPlan } from '../worker/tt-words.ts'
import { onBoxEvent } from './box-events.ts'
import type { NtmNode } from './ntm-node.ts'
import type { PacketHost } from './packet-host.ts'

export type TtShellParts = {
  readonly made: NtmNode
  readonly log: Log
  readonly host: Pick<PacketHost<TtIn>, 'tell'>
  /** The node was used: its outputs are due. */
  readonly touch: () => void
  /** Opens the edge for the network's ranges; packets flow when it resolves. */
  readonly openEdge: (virtual: VirtualPlan) => Promise<void>
  readonly ready: () => void
  readonly fail: (why: Error) => void
}

/** The terminator between its node and its packet side: directions become servers asked for, and their answers go back. */
export class TtShell {
  readonly #p: TtShellParts
  readonly #asked = new Map<string, RouteDirection | PathExtend>()
  /** The virtual ranges that the edge is open for. */
  #virtual: string | null = null
  #isOpen = false
  #starting: Promise<void> = Promise.resolve()

  constructor(parts: TtShellParts) {
    this.#p = parts
  }

  onEvent(event: NodeEvent): void {
    const { made, log } = this.#p
    switch (event.event) {
      case 'enrolled':
      case 'renewed':
      case 'refused':
      case 'offline':
        return onBoxEvent(made, log, event)
      case 'registered':
        this.#starting = this.#starting.then(() => this.#onRegistered(event.answer)).catch(this.#p.fail)
        return
      case 'asked':
        return this.#onAsked(event.transaction, event.message)
      case 'path-gone':
      case 'directed':
      case 'path-open':
      case 'path-mtu':
      case 'path-way':
      case 'relay-asked':
        // What paths mean to packets, the packet side reads in its tunnel table.
        return
      default:
        return event satisfies never
    }
  }

  /** The packet side knows more about a server that was asked for. */
  onOut(out: TtOut): void {
    const { made, log, touch } = this.#p
    const now = systemClock.now()
    const message = this.#asked.get(out.id)
    this.#asked.delete(out.id)
    if (message === undefined) return
    if (out.say === 'ready') {
      const { ttlSeconds, families } = out
      log.debug('server.ready', { name: out.name, ttlSeconds, families })
      made.node.accept(out.id, message, { ttlSeconds, families }, now)
    } else {
      log.info('server.refused', { code: out.code, text: out.text })
      made.node.decline(out.id, out.code, out.text, now)
    }
    touch()
  }

  /** Settles when nothing is being set up any more. */
  get starting(): Promise<void> {
    return this.#starting
  }

  async #onRegistered(answer: RegistrationResponse): Promise<void> {
    const virtual = JSON.stringify(answer.virtual)
    if (this.#virtual !== null) {
      if (this.#virtual === virtual) return
      throw new IoFault('follow the network', new Error('its virtual ranges changed; start again to use the new ones'))
    }
    const [nodes4, servers4, nodes6, servers6] = answer.virtual
    if (nodes4 === undefined || servers4 === undefined || nodes6 === undefined || servers6 === undefined) {
      throw new IoFault('join the network', new Error('the coordinator did not tell its four virtual ranges'))
    }
    this.#virtual = virtual
    await this.#p.openEdge({ nodes4, servers4, nodes6, servers6 })
    this.#isOpen = true
    this.#p.log.info('box.registered')
    this.#p.ready()
  }

  #onAsked(transaction: string, message: RouteDirection | PathExtend): void {
    const { made, host } = this.#p
    const now = systemClock.now()
    if (!this.#isOpen) return made.node.decline(transaction, 'busy', 'not ready yet', now)
    const node = boxOf(message, made.node.tunnels)
    if (message.target === null || node === null) {
      return made.node.accept(transaction, message, { ttlSeconds: 0, families: 0 }, now)
    }
    const { name, vip4, vip6 } = message.target
    this.#asked.set(transaction, message)
    host.tell({ say: 'server', asked: { id: transaction, node, name, pair: { vip4, vip6 } } })
  }
}

/** `nodeKey` of the box that a direction is for; null when the direction names none. */
export function boxOf(message: RouteDirection | PathExtend, tunnels: Pick<Tunnels, 'byContract'>): string | null {
  if (message.kind === 'path-extend') {
    const path = tunnels.byContract(message.contractHash)
    return path === null ? null : nodeKey(path.peer.node)
  }
  const contract = decodeContract(message.route.contract)
  if (!contract.ok) return null
  return nodeKey(message.route.youAre === 'opener' ? contract.value.acceptor : contract.value.opener)
}
