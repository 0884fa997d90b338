import { writeFacts } from '../appliance/fact-files.ts'
import { awaitHealth, PLACES } from '../appliance/health.ts'
import { options } from '../args.ts'
import { UsageError } from '../usage-error.ts'

/**
 * `ntm box health [--seconds N]`: whether the box does its work. With `--seconds` it looks until it has done so for 10 s, at most until the
 * system has been up that long; without, once. The last line is the verdict; 0 when it is good, 1 when it is not.
 */
export async function boxHealth(args: readonly string[]): Promise<number> {
  const { seconds } = options(args, [], ['seconds'])
  if (seconds !== undefined && !/^\d{1,6}$/.test(seconds)) throw new UsageError('--seconds is a number of seconds')
  const waits = { untilSeconds: Number(seconds ?? 0), holdSeconds: seconds === undefined ? 0 : HOLD_SECONDS }
  let said = ''
  const verdict = await awaitHealth(PLACES, waits, ({ good, why }) => {
    said = why
    process.stdout.write(`${why}\n`)
    if (seconds !== undefined) writeFacts(`${PLACES.run}/health`, { state: good ? 'good' : 'waiting', why })
  })
  if (verdict.why !== said) process.stdout.write(`${verdict.why}\n`)
  return verdict.good ? 0 : 1
}

/** A program that falls over again and again is ready for moments. */
const HOLD_SECONDS = 10
