import { openLog } from '#io/log.ts'
import { options } from '../args.ts'
import { startNode } from '../compose/node.ts'
import { runRole } from '../compose/process.ts'
import { loadRole } from '../config/load.ts'

/** `ntm up --config FILE`. */
export async function up(args: readonly string[]): Promise<number> {
  const { config: file } = options(args, ['config'], [])
  const config = loadRole(file, 'node')
  const log = openLog(config.log)
  return runRole('node', log, (undo, fail) => startNode(file, config, log, undo, fail))
}
