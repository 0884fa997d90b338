import { openLog } from '#io/log.ts'
import { options } from '../args.ts'
import { runRole } from '../compose/process.ts'
import { startTt } from '../compose/tt.ts'
import { loadRole } from '../config/load.ts'

/** `ntm tt --config FILE`. */
export async function tt(args: readonly string[]): Promise<number> {
  const { config: file } = options(args, ['config'], [])
  const config = loadRole(file, 'tt')
  const log = openLog(config.log)
  return runRole('tt', log, (undo, fail) => startTt(file, config, log, undo, fail))
}
