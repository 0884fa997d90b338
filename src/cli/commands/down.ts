import { askControl } from '#io/control-socket.ts'
import { IoFault } from '#io/fault.ts'
import { Keystore } from '#io/keystore.ts'
import { options } from '../args.ts'
import { told } from '../compose/control.ts'
import { resolverFile } from '../compose/node-names.ts'
import { loadConfig } from '../config/load.ts'
import { UsageError } from '../usage-error.ts'
import { socketsOf } from './sockets.ts'

/**
 * `ntm down`: ends the running program and waits until it has undone everything. When none runs and the configuration is a terminal's, gives
 * back the resolver configuration that a crash left behind.
 */
export async function down(args: readonly string[]): Promise<number> {
  const o = options(args, [], ['config', 'socket'])
  const sockets = socketsOf(o)
  if (sockets.length > 1) throw new UsageError(`several run here: give --config, or --socket of ${sockets.join(', ')}`)
  let ended = 0
  for (const socket of sockets) if (await end(socket)) ended++
  const late = ended === 0 && o.config !== undefined ? giveBack(o.config) : 'nothing'
  if (late !== 'nothing') process.stdout.write(`names: the resolver configuration was ${WORDS[late]}\n`)
  if (ended > 0 || late !== 'nothing') return 0
  process.stderr.write(`ntm down: nothing runs at ${sockets.join(', ') || '/run/ntm'}\n`)
  return 1
}

/** False when nobody listens there. */
async function end(socket: string): Promise<boolean> {
  try {
    const { answer, closed, end } = await askControl(socket, { ask: 'down' })
    told(socket, answer)
    const late = setTimeout(end, ENDS_WITHIN_MS)
    await closed
    clearTimeout(late)
    process.stdout.write(`${socket}: ended\n`)
    return true
  } catch (e) {
    // A socket that a dead program left, or none.
    if (e instanceof IoFault && NOBODY.has(e.code)) return false
    throw e
  }
}

function giveBack(file: string): 'restored' | 'left' | 'nothing' {
  const config = loadConfig(file)
  return config.role === 'node' ? resolverFile(config.dns, new Keystore(config.state)).release() : 'nothing'
}

const WORDS = { restored: 'given back', left: 'changed by others meanwhile, and left as it is' }
const NOBODY: ReadonlySet<string> = new Set(['ENOENT', 'ECONNREFUSED'])
const ENDS_WITHIN_MS = 15_000
