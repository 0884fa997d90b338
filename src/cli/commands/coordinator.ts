import { openLog } from '#io/log.ts'
import { options } from '../args.ts'
import { startCoordinator } from '../compose/coordinator.ts'
import { runRole } from '../compose/process.ts'
import { loadRole } from '../config/load.ts'

/** `ntm coordinator --config FILE`. */
export async function coordinator(args: readonly string[]): Promise<number> {
  const { config: file } = options(args, ['config'], [])
  const config = loadRole(file, 'coordinator')
  const log = openLog(config.log)
  return runRole('coordinator', log, (undo) => startCoordinator(config, log, undo))
}
