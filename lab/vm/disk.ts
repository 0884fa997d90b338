import { spawnSync } from 'node:child_process'
import { closeSync, fstatSync, openSync, readSync, rmSync, truncateSync, writeSync } from 'node:fs'
import { LabError } from '../ip.ts'
import { Fat } from './fat.ts'
import { type Partition, partitionsOf } from './partitions.ts'

export type DiskOptions = {
  /** Grown to this size, as when a small image is written to a big disk. */
  readonly mib?: number
  /** Grown to the next power of two: what QEMU asks of a card. */
  readonly powerOfTwo?: boolean
}

/** A box's disk: a copy of an image, in a file. Looked into and changed from outside while the box is off. */
export class Disk {
  readonly file: string
  #overlay: string | null = null

  /** Copies `image` to `file`, holes as holes. */
  constructor(image: string, file: string, options: DiskOptions = {}) {
    run('cp', ['--sparse=always', '--reflink=auto', image, file])
    this.file = file
    const bytes = this.bytes
    const asked = (options.mib ?? 0) * MIB
    const wanted = options.powerOfTwo === true ? 2 ** Math.ceil(Math.log2(Math.max(asked, bytes))) : asked
    if (wanted > bytes) truncateSync(file, wanted)
  }

  get bytes(): number {
    const fd = openSync(this.file, 'r')
    try {
      return fstatSync(fd).size
    } finally {
      closeSync(fd)
    }
  }

  /** A partition by its name in the table (board/layout.json): `boot`, `kernelA`, `data`, … */
  partition(name: string): Partition {
    const found = partitionsOf(this.file).find((p) => p.name === name)
    if (found === undefined) throw new LabError(`${this.file} has no partition ${name}`)
    return found
  }

  /** The file system of a FAT partition. */
  fat(name: string): Fat {
    return new Fat(this.file, this.partition(name).offset)
  }

  /** Bytes of a partition, all or the first `most`. */
  readRaw(name: string, most = Number.POSITIVE_INFINITY): Buffer {
    const { offset, bytes } = this.partition(name)
    const into = Buffer.alloc(Math.min(bytes, most))
    const fd = openSync(this.file, 'r')
    try {
      readSync(fd, into, 0, into.length, offset)
    } finally {
      closeSync(fd)
    }
    return into
  }

  /** Overwrites a part of a partition; all of it with rubbish unless told: a medium that has died there. */
  damage(name: string, part: { readonly from?: number; readonly bytes?: number } = {}): void {
    const { offset, bytes } = this.partition(name)
    const from = part.from ?? 0
    const count = Math.min(part.bytes ?? bytes, bytes - from)
    const rubbish = Buffer.alloc(MIB, 'not what was written here. ')
    const fd = openSync(this.file, 'r+')
    try {
      for (let done = 0; done < count; done += rubbish.length) {
        writeSync(fd, rubbish, 0, Math.min(rubbish.length, count - done), offset + from + done)
      }
    } finally {
      closeSync(fd)
    }
  }

  /** Runs a command on a partition copied out to a file, and copies it back: e2fsprogs wants a file of its own. */
  withPartition(name: string, command: string, args: (file: string) => readonly string[]): string {
    const { offset, bytes } = this.partition(name)
    const file = `${this.file}.${name}`
    const block = ['bs=1M', 'iflag=skip_bytes,count_bytes', 'oflag=seek_bytes', 'conv=sparse,notrunc', 'status=none']
    try {
      run('dd', [`if=${this.file}`, `of=${file}`, `skip=${offset}`, `count=${bytes}`, ...block])
      truncateSync(file, bytes)
      const text = run(command, args(file))
      run('dd', [
        `if=${file}`,
        `of=${this.file}`,
        `seek=${offset}`,
        ...block.filter((b) => !b.startsWith('conv')),
        'conv=notrunc',
      ])
      return text
    } finally {
      rmSync(file, { force: true })
    }
  }

  /** A copy of the disk as it is now, for `restore`. */
  keep(): string {
    const copy = `${this.file}.kept`
    run('cp', ['--sparse=always', '--reflink=auto', this.file, copy])
    return copy
  }

  restore(copy: string): void {
    run('cp', ['--sparse=always', '--reflink=auto', copy, this.file])
  }

  /**
   * A layer over the disk that what the box writes goes into, for tests of power cuts. Killing QEMU alone loses nothing, for what the box
   * wrote is with this machine's kernel already. Of a layer in the qcow2 format however QEMU keeps the map in memory until the box flushes: what
   * was written to places not touched before and not flushed is lost with it, as in a disk's own cache.
   */
  layer(): string {
    const overlay = `${this.file}.layer`
    run('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', this.file, overlay])
    this.#overlay = overlay
    return overlay
  }

  /** Puts what reached the layer onto the disk. Nothing when there is none. */
  settle(): void {
    if (this.#overlay === null) return
    run('qemu-img', ['commit', '-q', '-d', this.#overlay])
    rmSync(this.#overlay)
    this.#overlay = null
  }
}

function run(command: string, args: readonly string[]): string {
  const done = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 64 * MIB })
  if (done.status !== 0) {
    throw new LabError(`${command} ${args.join(' ')}: ${done.error?.message ?? done.stderr.trim()}`)
  }
  return done.stdout
}

const MIB = 1024 * 1024
