import { systemClock } from '#io/clock.ts'
import type { NodeEvent } from '#ntm-lib/negotiate/node-events.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { RelayIn, RelaySays } from '../worker/relay-words.ts'
import { onBoxEvent } from './box-events.ts'
import type { NtmNode } from './ntm-node.ts'

export type RelayShellParts = {
  readonly made: NtmNode
  readonly log: Log
  readonly ask: (input: Exclude<RelayIn, { say: 'legs' }>) => Promise<RelaySays>
  /** What the packet side last said of its load. */
  readonly onLoad: (percent: number) => void
  /** The node was used: its outputs are due. */
  readonly touch: () => void
  readonly ready: () => void
  readonly fail: (why: Error) => void
}

/** The relay between its node and its packet side: Relay Directions go to the table, and are answered when they are in it. */
export class RelayShell {
  readonly #p: RelayShellParts

  constructor(parts: RelayShellParts) {
    this.#p = parts
  }

  onEvent(event: NodeEvent): void {
    const { made, log, fail } = this.#p
    switch (event.event) {
      case 'enrolled':
      case 'renewed':
      case 'refused':
      case 'offline':
        return onBoxEvent(made, log, event)
      case 'registered':
        if (event.first) log.info('box.registered')
        return this.#p.ready()
      case 'relay-asked':
        return void this.#onAsked(event).catch(fail)
      case 'asked':
        return made.node.decline(event.transaction, 'unsupported', 'a relay ends no paths', systemClock.now())
      case 'path-gone':
      case 'directed':
      case 'path-open':
      case 'path-mtu':
      case 'path-way':
        return
      default:
        return event satisfies never
    }
  }

  async look(): Promise<RelaySays> {
    const says = await this.#p.ask({ say: 'load' })
    this.#p.onLoad(says.loadPercent)
    return says
  }

  async #onAsked({ transaction, message }: Extract<NodeEvent, { event: 'relay-asked' }>): Promise<void> {
    const { made, log, ask, onLoad, touch } = this.#p
    const { node } = made
    const release = message.kind === 'relay-release'
    const says = await ask(release ? { say: 'release', pathId: message.pathId } : { say: 'direct', direction: message })
    const now = systemClock.now()
    const { refused, paths, loadPercent } = says
    onLoad(loadPercent)
    if (release) {
      log.info('relay.released', { paths })
      node.respond(transaction, { kind: 'relay-release-response' }, now)
    } else if (refused !== null) {
      log.warn('relay.refused', { code: refused, paths })
      node.decline(transaction, refused, '', now)
    } else {
      log.info('relay.directed', { paths })
      const endpoints = made.where.candidates.map((c) => c.endpoint)
      node.respond(transaction, { kind: 'relay-accept', endpoints, loadPercent }, now)
    }
    touch()
  }
}
