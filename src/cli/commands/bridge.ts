import { openLog } from '#io/log.ts'
import { options } from '../args.ts'
import { startBridge } from '../compose/bridge.ts'
import { runRole } from '../compose/process.ts'
import { loadRole } from '../config/load.ts'

/** `ntm bridge --config FILE`. */
export async function bridge(args: readonly string[]): Promise<number> {
  const { config: file } = options(args, ['config'], [])
  const config = loadRole(file, 'bridge')
  const log = openLog(config.log)
  return runRole('bridge', log, (undo, fail) => startBridge(file, config, log, undo, fail))
}
