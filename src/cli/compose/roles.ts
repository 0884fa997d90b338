import { openLog } from '#io/log.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import { options } from '../args.ts'
import { loadRole } from '../config/load.ts'
import type { AnyConfig } from '../config/schema.ts'
import { packetsAhead } from './packets-ahead.ts'
import { type RoleExtras, runRole, type Undo } from './process.ts'

/** Runs the role of a checked configuration until it ends, and gives the exit code. Of the program only that role is loaded. */
export async function runConfigured(file: string, config: AnyConfig, extras: RoleExtras = {}): Promise<number> {
  const log = openLog(config.log)
  const start = await starterOf(file, config, log)
  const startAll: Start = async (undo, fail) => {
    await start(undo, fail)
    // A terminator whose port works in the main thread alone took none.
    await packetsAhead()?.worker.terminate()
  }
  return runRole(config.role, log, startAll, extras)
}

/** A role's own verb, `--config FILE` behind it: the file must be for that role. */
export const runVerb = (args: readonly string[], role: AnyConfig['role']): Promise<number> => {
  const { config: file } = options(args, ['config'], [])
  return runConfigured(file, loadRole(file, role))
}

type Start = (undo: Undo, fail: (why: Error) => void) => Promise<void>

async function starterOf(file: string, config: AnyConfig, log: Log): Promise<Start> {
  switch (config.role) {
    case 'bridge': {
      const { startBridge } = await import('./bridge.ts')
      return (undo, fail) => startBridge(file, config, log, undo, fail)
    }
    case 'tt': {
      const { startTt } = await import('./tt.ts')
      return (undo, fail) => startTt(file, config, log, undo, fail)
    }
    case 'relay': {
      const { startRelay } = await import('./relay.ts')
      return (undo, fail) => startRelay(file, config, log, undo, fail)
    }
    case 'node': {
      const { startNode } = await import('./node.ts')
      return (undo, fail) => startNode(file, config, log, undo, fail)
    }
    case 'coordinator': {
      const { startCoordinator } = await import('./coordinator.ts')
      return (undo) => startCoordinator(config, log, undo)
    }
    default:
      return config satisfies never
  }
}
