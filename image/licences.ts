import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * The licences a Debian package's own copyright file names, by Debian's short names, sorted. Empty when the file is not in the
 * machine-readable form, or a link to another package's.
 */
export function licencesOf(tree: string, name: string): readonly string[] {
  const file = join(tree, 'usr/share/doc', name, 'copyright')
  if (!existsSync(file)) return []
  const text = readFileSync(file, 'latin1')
  if (!/^Format:/m.test(text)) return []
  const names = [...text.matchAll(/^License:[ \t]*(\S.*)$/gm)].map(([, licence = '']) => licence.trim())
  return [...new Set(names)].sort()
}
