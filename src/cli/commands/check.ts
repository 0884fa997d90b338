import { loadConfig } from '../config/load.ts'
import { UsageError } from '../usage-error.ts'

/** `ntm check FILE`: says whether the file would start, without starting anything. */
export async function check(args: readonly string[]): Promise<number> {
  const [file, ...rest] = args
  if (file === undefined || rest.length > 0) throw new UsageError('give one configuration file')
  const config = loadConfig(file)
  process.stdout.write(`${file}: good, role ${config.role}\n`)
  return 0
}
