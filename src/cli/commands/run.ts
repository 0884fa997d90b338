import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { openSupervisor, type Supervisor } from '#io/supervisor.ts'
import { ClockSetter } from '../appliance/clock-setter.ts'
import { options, switches } from '../args.ts'
import { runConfigured } from '../compose/roles.ts'
import { ConfigError } from '../config/fault.ts'
import { loadConfig } from '../config/load.ts'
import type { AnyConfig } from '../config/schema.ts'

/**
 * `ntm run --config FILE [--set-clock]`: the role that the file names. An enrolment token in the file `token` beside it counts, whatever the
 * file says: there an appliance keeps it. With `--set-clock` a machine whose clock nobody else sets takes its coordinator's time.
 */
export async function run(args: readonly string[]): Promise<number> {
  const { on, rest } = switches(args, 'set-clock')
  const { config: file } = options(rest, ['config'], [])
  try {
    const config = loadConfig(file)
    return await runConfigured(file, withToken(config, file), on ? { clock: new ClockSetter() } : {})
  } catch (e) {
    const supervisor = e instanceof ConfigError ? openSupervisor(process.env) : null
    if (supervisor === null || !(e instanceof ConfigError)) throw e
    process.stderr.write(`${e.message}\n`)
    return pauseAfter(supervisor, e)
  }
}

/** A supervisor starts us again at once, and nobody will have corrected a mistake within seconds. 2 after a while, 0 when told to end. */
function pauseAfter(supervisor: Supervisor, { mistakes }: ConfigError): Promise<number> {
  const [first] = mistakes
  const why = first === undefined ? 'the configuration is wrong' : `${first.key} ${first.wrong}`.trim()
  supervisor.tell([`STATUS=waits: ${why}`, `EXTEND_TIMEOUT_USEC=${2000 * PAUSE_MS}`])
  return new Promise((done) => {
    const timer = setTimeout(() => done(2), PAUSE_MS)
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.once(signal, () => {
        clearTimeout(timer)
        done(0)
      })
  })
}

/** The configuration with the token that lies beside its file. */
export function withToken(config: AnyConfig, file: string): AnyConfig {
  const token = resolve(dirname(file), 'token')
  if (config.role === 'coordinator' || !existsSync(token)) return config
  return { ...config, network: { token_file: token } }
}

const PAUSE_MS = 60_000
