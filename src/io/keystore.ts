import {
  chmodSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { IoFault } from './fault.ts'

/**
 * Small secret files in one directory (0700, files 0600), replaced atomically: a power cut leaves the old or the new
 * content, never half of it.
 */
export class Keystore {
  readonly dir: string

  /** Creates the directory when it is missing. Throws IoFault. */
  constructor(dir: string) {
    this.dir = dir
    try {
      mkdirSync(dir, { recursive: true, mode: 0o700 })
    } catch (e) {
      // A path we may not create, or a file in its place.
      throw new IoFault(`create ${dir}`, e)
    }
  }

  /** The parsed JSON of `name`; null when the file does not exist. Throws IoFault when it cannot be read or parsed. */
  load(name: string): unknown {
    const file = join(this.dir, name)
    try {
      if ((statSync(file).mode & 0o077) !== 0) chmodSync(file, 0o600)
      return JSON.parse(readFileSync(file, 'utf8'))
    } catch (e) {
      // Missing is the normal first start; everything else is for the operator to see.
      if (e instanceof Error && 'code' in e && e.code === 'ENOENT') return null
      throw new IoFault(`read ${file}`, e)
    }
  }

  save(name: string, value: unknown): void {
    const file = join(this.dir, name)
    const fresh = `${file}.new`
    try {
      const fd = openSync(fresh, 'w', 0o600)
      try {
        writeSync(fd, `${JSON.stringify(value, null, 2)}\n`)
        fsyncSync(fd)
      } finally {
        closeSync(fd)
      }
      renameSync(fresh, file)
      syncDirectory(dirname(file))
    } catch (e) {
      // Disk full or read-only: the old file is still whole.
      throw new IoFault(`write ${file}`, e)
    }
  }

  /** Nothing when it is not there. */
  remove(name: string): void {
    const file = join(this.dir, name)
    try {
      rmSync(file, { force: true })
      syncDirectory(this.dir)
    } catch (e) {
      // A read-only disk.
      throw new IoFault(`remove ${file}`, e)
    }
  }
}

function syncDirectory(dir: string): void {
  const fd = openSync(dir, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
