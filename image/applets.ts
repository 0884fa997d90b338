import { existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ImageError } from './fault.ts'
import { lines } from './lines.ts'

/**
 * Links busybox's tools into a root. `list` is `board/common/applets`: one path below `usr` per line. What Debian's packages bring stays.
 * ImageError for a tool that this busybox does not have: found in the binary itself, for it may be of a foreign processor.
 */
export function linkApplets(root: string, list: string): void {
  const busybox = join(root, 'usr/bin/busybox')
  const binary = readFileSync(busybox, 'latin1')
  for (const path of lines(list)) {
    const name = path.slice(path.lastIndexOf('/') + 1)
    if (!binary.includes(`\0${name}\0`)) throw new ImageError(`board/common/applets: busybox has no "${name}"`)
    const place = join(root, 'usr', path)
    if (existsSync(place) || lstatSync(place, { throwIfNoEntry: false }) !== undefined) continue
    mkdirSync(dirname(place), { recursive: true })
    symlinkSync('/usr/bin/busybox', place)
  }
}
