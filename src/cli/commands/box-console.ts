import { parseArgs } from 'node:util'
import { startConsole } from '../appliance/console.ts'
import { PLACES } from '../appliance/console-look.ts'
import { UsageError } from '../usage-error.ts'

/** `ntm box console --tty /dev/tty1 --tty /dev/ttyS0 …`: shows the box's state there until it is told to end. */
export async function boxConsole(args: readonly string[]): Promise<number> {
  const ttys = ttysOf(args)
  if (ttys.length === 0) throw new UsageError('--tty is missing')
  const shown = startConsole(ttys, PLACES)
  await new Promise<void>((done) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, done)
  })
  shown.close()
  return 0
}

function ttysOf(args: readonly string[]): readonly string[] {
  try {
    return parseArgs({ args: [...args], options: { tty: { type: 'string', multiple: true } } }).values.tty ?? []
  } catch (e) {
    // Every mistake in the command line, in words meant for people.
    throw new UsageError(e instanceof Error ? e.message : String(e))
  }
}
