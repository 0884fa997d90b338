import { systemClock } from '#io/clock.ts'
import type { NodeEvent } from '#ntm-lib/negotiate/node-events.ts'
import type { BoxStatus } from './box-status.ts'
import { NodeShell, type NodeShellParts } from './node-shell.ts'
import type { NtmNode } from './ntm-node.ts'
import type { Undo } from './process.ts'

export type BoxShellParts = {
  readonly made: NtmNode
  readonly host: NodeShellParts['host']
  /** Hears every event before the role does. */
  readonly told: BoxStatus
  readonly undo: Undo
  readonly onEvent: (event: NodeEvent) => void
}

/** The shell of a box's node, on this machine's clock; stopped with the role. The caller starts it. */
export function boxShell({ made, host, told, undo, onEvent }: BoxShellParts): NodeShell {
  const shell = new NodeShell({
    node: made.node,
    host,
    clock: systemClock,
    onEvent: (event) => {
      told.onEvent(event, systemClock.now())
      onEvent(event)
    },
  })
  undo.add(() => shell.stop())
  return shell
}
