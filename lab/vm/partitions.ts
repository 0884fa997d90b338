import { closeSync, openSync, readSync } from 'node:fs'
import { LabError } from '../ip.ts'

/** Where a partition lies in a disk image, in bytes. */
export type Partition = { readonly name: string; readonly offset: number; readonly bytes: number }

/** The partitions of a disk image, by the names in its GUID partition table (UEFI 2.10 §5.3). */
export function partitionsOf(image: string): readonly Partition[] {
  const fd = openSync(image, 'r')
  try {
    const header = read(fd, SECTOR, SECTOR)
    if (header.toString('latin1', 0, 8) !== 'EFI PART') throw new LabError(`${image}: no GUID partition table`)
    const [at, count, size] = [header.readBigUInt64LE(72), header.readUInt32LE(80), header.readUInt32LE(84)]
    const table = read(fd, Number(at) * SECTOR, count * size)
    return Array.from({ length: count }, (_, i) => table.subarray(i * size, (i + 1) * size))
      .filter((entry) => entry.subarray(0, 16).some((byte) => byte !== 0))
      .map((entry) => {
        const [first, last] = [Number(entry.readBigUInt64LE(32)), Number(entry.readBigUInt64LE(40))]
        const name = entry.toString('utf16le', 56, 128).replace(/\0.*$/s, '')
        return { name, offset: first * SECTOR, bytes: (last - first + 1) * SECTOR }
      })
  } finally {
    closeSync(fd)
  }
}

function read(fd: number, at: number, bytes: number): Buffer {
  const into = Buffer.alloc(bytes)
  readSync(fd, into, 0, bytes, at)
  return into
}

const SECTOR = 512
