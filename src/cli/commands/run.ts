import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { ClockSetter } from '../appliance/clock-setter.ts'
import { options, switches } from '../args.ts'
import { runConfigured } from '../compose/roles.ts'
import { loadConfig } from '../config/load.ts'
import type { AnyConfig } from '../config/schema.ts'

/**
 * `ntm run --config FILE [--set-clock]`: the role that the file names. An enrolment token in the file `token` beside it counts, whatever the
 * file says: there an appliance keeps it. With `--set-clock` a machine whose clock nobody else sets takes its coordinator's time.
 */
export async function run(args: readonly string[]): Promise<number> {
  const { on, rest } = switches(args, 'set-clock')
  const { config: file } = options(rest, ['config'], [])
  const config = loadConfig(file)
  return runConfigured(file, withToken(config, file), on ? { clock: new ClockSetter() } : {})
}

/** The configuration with the token that lies beside its file. */
export function withToken(config: AnyConfig, file: string): AnyConfig {
  const token = resolve(dirname(file), 'token')
  if (config.role === 'coordinator' || !existsSync(token)) return config
  return { ...config, network: { token_file: token } }
}
