import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { askControl } from '#io/control-socket.ts'
import { IoFault } from '#io/fault.ts'
import { options } from '../args.ts'
import { told } from '../compose/control.ts'
import { UsageError } from '../usage-error.ts'
import { socketsOf } from './sockets.ts'
import { type Fields, list, record } from './status-rows.ts'
import { pathLines } from './status-text.ts'

/** `ntm ping NAME`: the system's own ping, and then which path it took. Gives ping's exit code. */
export async function ping(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args
  if (name === undefined || name.startsWith('-')) throw new UsageError('say whom: ntm ping NAME')
  const { count = '4', ...where } = options(rest, [], ['config', 'socket', 'count'])
  const sockets = socketsOf(where)
  if (sockets.length === 0) throw new UsageError('nothing runs here')
  const code = await systemPing(name, count)
  for (const socket of sockets) {
    const { answer, end } = await askControl(socket, { ask: 'status' })
    end()
    const paths = list(told(socket, answer)['paths']).map(record)
    const path = pathTo(name, paths)
    if (path !== null) process.stdout.write(`\n${pathLines(path).join('\n')}\n`)
    else process.stdout.write(`\n  no path of ours has this name: it goes past us, through a terminator, or nowhere\n`)
  }
  return code
}

/** The path that leads to this name: its box's, or that of the box which it is a host of; the name may be the first part only. */
export function pathTo(name: string, paths: readonly Fields[]): Fields | null {
  const wanted = name.toLowerCase().replace(/\.$/, '')
  const fits = ({ peer }: Fields): boolean => {
    const box = String(peer)
    return wanted === box || wanted.endsWith(`.${box}`) || box.startsWith(`${wanted}.`)
  }
  return paths.find(fits) ?? null
}

async function systemPing(name: string, count: string): Promise<number> {
  if (!/^[1-9]\d{0,4}$/.test(count)) throw new UsageError('--count is a number from 1 to 99999')
  const child = spawn('ping', ['-c', count, '--', name], { stdio: 'inherit' })
  try {
    const [code] = await once(child, 'exit')
    return Number(code ?? 1)
  } catch (cause) {
    throw new IoFault('run ping', cause)
  }
}
