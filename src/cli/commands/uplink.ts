import { askControl } from '#io/control-socket.ts'
import { options } from '../args.ts'
import { told } from '../compose/control.ts'
import { UsageError } from '../usage-error.ts'
import { socketsOf } from './sockets.ts'

/** `ntm uplink --prefer INTERFACE`: the running terminal moves there now, without loss, and stays while it can; `auto` ends that. */
export async function uplink(args: readonly string[]): Promise<number> {
  const o = options(args, ['prefer'], ['config', 'socket'])
  const [socket, ...more] = socketsOf(o)
  if (socket === undefined || more.length > 0)
    throw new UsageError('give --config or --socket of the program that is meant')
  const { answer, end } = await askControl(socket, { ask: 'uplink', uplink: o.prefer === 'auto' ? null : o.prefer })
  end()
  const { isWayOut } = told(socket, answer)
  if (isWayOut === true) return 0
  process.stderr.write(`ntm uplink: ${o.prefer} is no way out now; it will be taken first when it is one\n`)
  return 1
}
