import { writeFileSync } from 'node:fs'
import { PLACES } from '../appliance/health.ts'
import { imageFacts } from '../appliance/image-facts.ts'
import { updateFromStick } from '../appliance/stick.ts'
import { options } from '../args.ts'

/**
 * `ntm box update-stick --dir DIR [--report FILE]`: installs what a stick brings and says in the file what became of each bundle. 10 when something was
 * installed and the box is to start anew, 0 otherwise.
 */
export async function boxUpdateStick(args: readonly string[]): Promise<number> {
  const { dir, report } = options(args, ['dir'], ['report'])
  const running = imageFacts()
  if (running === null) return 0
  const tell = (line: string): void => void process.stdout.write(`ntm update: ${line}\n`)
  const { installed, lines } = await updateFromStick(dir, { places: PLACES, running, tell })
  for (const line of lines) tell(line)
  if (report !== undefined) {
    const head = `NTMobile appliance, updates found here. ${new Date().toISOString().slice(0, 16)}Z by the box's clock, version ${running.version}.`
    writeFileSync(report, `${[head, '', ...lines].join('\r\n')}\r\n`, { flush: true })
  }
  return installed ? 10 : 0
}
