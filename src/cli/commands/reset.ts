import { run } from '#io/run.ts'
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
  // It knows where the wish is kept, and what to do when the data partition is not in use.
  await run('/usr/lib/ntm/data', ['reset', 'ntm reset'], { withinMs: 60_000 })
  process.stdout.write('ntm reset: the box restarts and forgets\n')
  await restart()
  return 0
}
