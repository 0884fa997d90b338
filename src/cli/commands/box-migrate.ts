import { imageFacts } from '../appliance/image-facts.ts'
import { migrateData } from '../appliance/migrate.ts'
import { options } from '../args.ts'

/** `ntm box migrate [--data DIR]`: brings the configuration on the data partition to this program's version. 0 done, 1 it stays as it is. */
export async function boxMigrate(args: readonly string[]): Promise<number> {
  const { data } = options(args, [], ['data'])
  const plan = await migrateData(data ?? '/data', imageFacts()?.dataVersion ?? 1)
  if (plan.do === 'refuse') {
    process.stderr.write(`ntm box migrate: ${plan.why}\n`)
    return 1
  }
  if (plan.do === 'migrate') process.stdout.write(`ntm box migrate: the configuration was of version ${plan.from}\n`)
  if (plan.do === 'take-copy')
    process.stdout.write(`ntm box migrate: took back the configuration of version ${plan.version}\n`)
  return 0
}
