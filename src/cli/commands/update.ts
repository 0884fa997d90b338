import { PLACES } from '../appliance/health.ts'
import { imageFacts } from '../appliance/image-facts.ts'
import { restart } from '../appliance/restart.ts'
import { installUpdate } from '../appliance/update.ts'
import { switches } from '../args.ts'
import { UsageError } from '../usage-error.ts'

/** `ntm update FILE|URL [--allow-downgrade] [--reboot]`: installs a signed bundle into the slot that does not run. */
export async function update(args: readonly string[]): Promise<number> {
  const { on: allowDowngrade, rest } = switches(args, 'allow-downgrade')
  const { on: reboot, rest: sources } = switches(rest, 'reboot')
  const [source, ...more] = sources
  if (source === undefined || source.startsWith('-') || more.length > 0)
    throw new UsageError('give one bundle: a file or an address. Options: --allow-downgrade --reboot')
  const running = imageFacts()
  if (running === null) {
    process.stderr.write('ntm update: this is not an appliance: there is no image to update\n')
    return 1
  }
  const tell = (line: string): void => void process.stdout.write(`ntm update: ${line}\n`)
  const done = await installUpdate(source, { places: PLACES, running, allowDowngrade, tell })
  if (!done.ok) {
    process.stderr.write(`ntm update: not installed: ${done.why}\n`)
    return 1
  }
  tell(
    `version ${done.version} is installed in slot ${done.slot}. It is on trial from the next start on: if the wire or the tunnel fail, this version comes back`,
  )
  if (reboot) await restart()
  else tell('the box goes on as it is until it is restarted: `reboot`, or `ntm update --reboot` next time')
  return 0
}
