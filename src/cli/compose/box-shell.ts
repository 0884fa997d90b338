import { systemClock } from '#io/clock.ts'
import type { NodeEvent } from '#ntm-lib/negotiate/node-events.ts'
import type { BoxStatus } from './box-status.ts'
import type { Heart } from './life.ts'
import { NodeShell, type NodeShellParts } from './node-shell.ts'
import type { NtmNode } from './ntm-node.ts'
import type { Undo } from './process.ts'

export type BoxShellParts = {
  readonly made: NtmNode
  readonly host: NodeShellParts['host'] & Heart
  /** Hears every event before the role does. */
  readonly told: BoxStatus
  readonly undo: Undo
  readonly onEvent: (event: NodeEvent) => void
}

/** The shell of a box's node, on this machine's clock; stopped with the role, whose life it tells. The caller starts it. */
export function boxShell({ made, host, told, undo, onEvent }: BoxShellParts): NodeShell {
  undo.life.follow(host)
  undo.life.describe(() => told.line())
  const shell = new NodeShell({
    node: made.node,
    host,
    clock: systemClock,
    onEvent: (event) => {
      told.onEvent(event, systemClock.now())
      const time = event.event === 'registered' ? made.coordinatorTime() : null
      if (time !== null) undo.life.onTime(time)
      onEvent(event)
    },
  })
  undo.add(() => shell.stop())
  return shell
}
