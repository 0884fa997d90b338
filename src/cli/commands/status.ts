import { askControl } from '#io/control-socket.ts'
import { options, switches } from '../args.ts'
import { told } from '../compose/control.ts'
import { socketsOf } from './sockets.ts'
import { statusText } from './status-text.ts'

/** `ntm status`: what the running programs do, as text or (`--json`) one JSON document per line. */
export async function status(args: readonly string[]): Promise<number> {
  const { on: json, rest } = switches(args, 'json')
  const sockets = socketsOf(options(rest, [], ['config', 'socket']))
  if (sockets.length === 0) {
    process.stderr.write('ntm status: nothing runs here\n')
    return 1
  }
  for (const socket of sockets) {
    const { answer, end } = await askControl(socket, { ask: 'status' })
    end()
    const said = told(socket, answer)
    process.stdout.write(json ? `${JSON.stringify(said)}\n` : statusText(said))
  }
  return 0
}
