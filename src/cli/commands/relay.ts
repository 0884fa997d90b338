import { openLog } from '#io/log.ts'
import { options } from '../args.ts'
import { runRole } from '../compose/process.ts'
import { startRelay } from '../compose/relay.ts'
import { loadRole } from '../config/load.ts'

/** `ntm relay --config FILE`. */
export async function relay(args: readonly string[]): Promise<number> {
  const { config: file } = options(args, ['config'], [])
  const config = loadRole(file, 'relay')
  const log = openLog(config.log)
  return runRole('relay', log, (undo, fail) => startRelay(file, config, log, undo, fail))
}
