import { spawnSync } from 'node:child_process'
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LabError } from '../ip.ts'

/** Files by name; a name may have folders in it (`network/root.json`). */
export type Files = Readonly<Record<string, string | Uint8Array>>

/** A FAT file system inside a file, `offset` bytes from its start, read and written with mtools: no mount, no loop device. */
export class Fat {
  readonly #at: string

  constructor(image: string, offset: number) {
    this.#at = `${image}@@${offset}`
  }

  /** A file's bytes; null when there is no such file. */
  read(name: string): Buffer | null {
    const done = mtools('mtype', ['-i', this.#at, `::/${name}`])
    return done.status === 0 ? done.stdout : null
  }

  text(name: string): string | null {
    return this.read(name)?.toString() ?? null
  }

  /** Names in the root folder, or in `folder`. */
  list(folder = ''): string[] {
    const done = mtools('mdir', ['-b', '-i', this.#at, `::/${folder}`])
    return done.stdout
      .toString()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.replace(/^::\//, ''))
  }

  write(files: Files): void {
    const folders = new Set(
      Object.keys(files).flatMap((name) =>
        name
          .split('/')
          .slice(0, -1)
          .map((_, i, all) => all.slice(0, i + 1).join('/')),
      ),
    )
    // Folders that are there already are what we want.
    for (const folder of folders) mtools('mmd', ['-i', this.#at, '-D', 's', `::/${folder}`])
    const scratch = mkdtempSync(join(tmpdir(), 'ntm-fat-'))
    try {
      for (const [name, content] of Object.entries(files)) {
        const file = join(scratch, 'file')
        writeFileSync(file, content)
        must('mcopy', ['-D', 'o', '-i', this.#at, file, `::/${name}`])
      }
    } finally {
      rmSync(scratch, { recursive: true, force: true })
    }
  }

  /** Copies a file of this machine in; for big ones. */
  copyIn(file: string, name: string): void {
    must('mcopy', ['-D', 'o', '-i', this.#at, file, `::/${name}`])
  }

  /** Copies a file out to this machine. */
  copyOut(name: string, file: string): void {
    must('mcopy', ['-n', '-D', 'o', '-i', this.#at, `::/${name}`, file])
  }

  remove(name: string): void {
    must('mdel', ['-i', this.#at, `::/${name}`])
  }
}

/** The files of a folder of this machine and of those in it, named below `as`. */
export function filesBelow(dir: string, as = ''): Files {
  const names = readdirSync(dir, { recursive: true }).map(String)
  const files = names.filter((name) => statSync(join(dir, name)).isFile())
  return Object.fromEntries(files.map((name) => [join(as, name), readFileSync(join(dir, name))]))
}

export type StickOptions = {
  readonly label?: string
  readonly mib?: number
  /** Without a partition table, as some sticks are. */
  readonly bare?: boolean
}

/** Makes the image of a USB stick with one FAT partition: what a person would format and fill. */
export function makeStick(image: string, files: Files, options: StickOptions = {}): Fat {
  const mib = options.mib ?? 64
  writeFileSync(image, '')
  truncateSync(image, mib * MIB)
  const offset = options.bare === true ? 0 : MIB
  if (offset > 0) partitionTable(image, offset, mib * MIB - offset)
  const sectors = `${(mib * MIB - offset) / 512}`
  const label = options.label ?? 'NTMCONFIG'
  must('mformat', ['-i', `${image}@@${offset}`, '-T', sectors, '-h', '64', '-s', '32', '-v', label, '::'])
  const fat = new Fat(image, offset)
  fat.write(files)
  return fat
}

/** A classic partition table with one entry, type 0x0c (FAT32, LBA). */
function partitionTable(image: string, offset: number, bytes: number): void {
  const entry = Buffer.alloc(16)
  entry[4] = 0x0c
  entry.writeUInt32LE(offset / 512, 8)
  entry.writeUInt32LE(bytes / 512, 12)
  const fd = openSync(image, 'r+')
  writeSync(fd, entry, 0, 16, 446)
  writeSync(fd, Buffer.from([0x55, 0xaa]), 0, 2, 510)
  closeSync(fd)
}

function must(command: string, args: readonly string[]): void {
  const done = mtools(command, args)
  if (done.status !== 0) throw new LabError(`${command} ${args.join(' ')}: ${done.stderr.toString().trim()}`)
}

function mtools(command: string, args: readonly string[]) {
  // Its own checks refuse images whose geometry is not that of a floppy disk.
  const env = { ...process.env, MTOOLS_SKIP_CHECK: '1' }
  const done = spawnSync(command, args, { env, maxBuffer: 1024 * MIB })
  if (done.status === null)
    throw new LabError(`${command}: ${done.error?.message ?? done.signal}; is mtools installed?`)
  return done
}

const MIB = 1024 * 1024
