import { closeSync, fsyncSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { IoFault } from '#io/fault.ts'
import { readFacts } from '../appliance/fact-files.ts'
import { PLACES } from '../appliance/health.ts'
import { imageFacts } from '../appliance/image-facts.ts'
import { restart } from '../appliance/restart.ts'
import { switches } from '../args.ts'
import { UsageError } from '../usage-error.ts'

/** `ntm reset --yes`: back to how the box was flashed, but for the installed version. The next start does it, before anything reads the data. */
export async function reset(args: readonly string[]): Promise<number> {
  const { on: sure, rest } = switches(args, 'yes')
  if (rest.length > 0) throw new UsageError('the only option is --yes')
  if (imageFacts() === null) {
    process.stderr.write('ntm reset: this is not an appliance\n')
    return 1
  }
  if (!sure)
    throw new UsageError(
      'this forgets configuration, keys, membership and logs, and restarts the box. To do it: ntm reset --yes',
    )
  if (readFacts(join(PLACES.run, 'data'))['medium'] === 'ram') {
    process.stderr.write(
      'ntm reset: the data partition is not in use; choose "Factory reset" in the start menu instead\n',
    )
    return 1
  }
  requestReset(PLACES.data)
  process.stdout.write('ntm reset: the box restarts and forgets\n')
  await restart()
  return 0
}

/** Leaves the flag that the next start looks for. IoFault when the data partition does not take it. */
export function requestReset(data: string): void {
  try {
    for (const [path, flags] of [
      [join(data, 'factory-reset'), 'w'],
      [data, 'r'],
    ] as const) {
      const file = openSync(path, flags)
      try {
        fsyncSync(file)
      } finally {
        closeSync(file)
      }
    }
  } catch (cause) {
    throw new IoFault('ask for a factory reset', cause)
  }
}
