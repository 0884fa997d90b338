import type { NodeEvent } from '#ntm-lib/negotiate/node-events.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { NtmNode } from './ntm-node.ts'

/** What a node says of itself and its coordinator, whatever its role. */
export type BoxEvent = Extract<NodeEvent, { event: 'enrolled' | 'renewed' | 'refused' | 'offline' }>

/** Keeps a new membership, and tells the operator. */
export function onBoxEvent(made: Pick<NtmNode, 'enrolled'>, log: Log, event: BoxEvent): void {
  switch (event.event) {
    case 'enrolled':
    case 'renewed':
      made.enrolled(event.chain)
      return log.info(`box.${event.event}`)
    case 'refused':
      return log.error('box.refused', { code: event.code, text: event.text })
    case 'offline':
      return log.warn('coordinator.lost')
    default:
      return event satisfies never
  }
}
