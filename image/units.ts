import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ImageError } from './fault.ts'
import { REPOSITORY } from './layout.ts'
import { lines } from './lines.ts'

/**
 * Turns units on and off by explicit links, as `systemctl enable` and `mask` would: `board/common/units` says which. A line is
 * `on UNIT` (its own [Install] section says where), or `mask UNIT`. ImageError for a unit to be turned on that is not there.
 */
export function enableUnits(root: string, list = readFileSync(join(REPOSITORY, 'board/common/units'), 'utf8')): void {
  const etc = join(root, 'etc/systemd/system')
  for (const line of lines(list)) {
    const [verb = '', unit = ''] = line.split(/\s+/)
    if (verb === 'mask') link(join(etc, unit), '/dev/null')
    else if (verb === 'on') enable(root, etc, unit)
    else throw new ImageError(`board/common/units: "${line}": a line starts with on or mask`)
  }
}

function enable(root: string, etc: string, unit: string): void {
  // getty@tty1.service is an instance of getty@.service.
  const file = unit.replace(/@[^.]*\./, '@.')
  const found = ['etc/systemd/system', 'usr/lib/systemd/system'].find((dir) => existsSync(join(root, dir, file)))
  if (found === undefined) throw new ImageError(`board/common/units: there is no unit ${file} in the image`)
  const target = `/${found}/${file}`
  const install = installSection(readFileSync(join(root, found, file), 'utf8'))
  for (const wanting of install.get('WantedBy') ?? []) link(join(etc, `${wanting}.wants`, unit), target)
  for (const requiring of install.get('RequiredBy') ?? []) link(join(etc, `${requiring}.requires`, unit), target)
  for (const alias of install.get('Alias') ?? []) link(join(etc, alias), target)
  for (const also of install.get('Also') ?? []) if (also !== unit) enable(root, etc, also)
}

/** The words of each key of a unit's [Install] section. */
function installSection(text: string): Map<string, string[]> {
  const found = new Map<string, string[]>()
  let section = ''
  for (const line of lines(text.replaceAll(/^;.*$/gm, ''))) {
    if (line.startsWith('[')) section = line
    const [key = '', value = ''] = line.split(/=(.*)/)
    if (section === '[Install]' && value !== '') found.set(key, [...(found.get(key) ?? []), ...value.split(/\s+/)])
  }
  return found
}

function link(path: string, to: string): void {
  mkdirSync(dirname(path), { recursive: true })
  rmSync(path, { force: true })
  symlinkSync(to, path)
}
