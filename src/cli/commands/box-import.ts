import { portAddresses, programOwner } from '../appliance/box-facts.ts'
import { imageFacts } from '../appliance/image-facts.ts'
import { type ImportResult, importConfig } from '../appliance/import.ts'
import { options } from '../args.ts'

/**
 * `ntm box import --boot DIR --stick DIR --data DIR --run DIR`: takes over a configuration from the boot partition or a stick. 0: nothing new, or what is
 * there was refused or is in force already; 10: something else is in force, start the role again; 1: a disk made trouble.
 */
export async function boxImport(args: readonly string[]): Promise<number> {
  const o = options(args, ['data', 'run'], ['boot', 'stick'])
  const image = imageFacts()
  const places = { boot: o.boot ?? null, stick: o.stick ?? null, data: o.data, run: o.run }
  const result = importConfig(places, {
    ports: portAddresses(),
    version: image?.version ?? '',
    owner: programOwner(),
    floor: (image?.built ?? 0) * 1000,
  })
  return CODES[result]
}

const CODES: Readonly<Record<ImportResult, number>> = { same: 0, changed: 10, trouble: 1 }
