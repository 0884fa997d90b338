import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs'
import { crc32 } from 'node:zlib'

/** A partition of a test disk, in sectors of 512 bytes; `to` is its last one. */
export type Part = { readonly name: string; readonly from: number; readonly to: number }

/** One of the two tables, as a reader that trusts nothing sees it (UEFI 2.10 §5.3). */
export type Table = {
  readonly parts: readonly Part[]
  readonly other: number
  readonly usable: readonly [number, number]
  readonly entries: number
}

const SECTOR = 512
const COUNT = 128
const ENTRY = 128
const ARRAY = (COUNT * ENTRY) / SECTOR

/** Makes a disk image of `sectors` with this table, as an image builder does: entries behind the header, the backup at the end. */
export function makeDisk(file: string, sectors: number, parts: readonly Part[]): void {
  const disk = openSync(file, 'w+')
  ftruncateSync(disk, sectors * SECTOR)
  const entries = Buffer.alloc(ARRAY * SECTOR)
  parts.forEach(({ name, from, to }, i) => {
    const at = i * ENTRY
    entries.fill(0xa0 + i, at, at + 32)
    entries.writeBigUInt64LE(BigInt(from), at + 32)
    entries.writeBigUInt64LE(BigInt(to), at + 40)
    entries.write(name, at + 56, 'utf16le')
  })
  const header = (own: number, other: number, array: number): Buffer => {
    const head = Buffer.alloc(SECTOR)
    head.write('EFI PART\0\0\x01\0', 0, 'latin1')
    head.writeUInt32LE(92, 12)
    for (const [at, value] of [
      [24, own],
      [32, other],
      [40, 34],
      [48, sectors - ARRAY - 2],
      [72, array],
    ] as const) {
      head.writeBigUInt64LE(BigInt(value), at)
    }
    head.fill(0x4e, 56, 72)
    head.writeUInt32LE(COUNT, 80)
    head.writeUInt32LE(ENTRY, 84)
    head.writeUInt32LE(crc32(entries), 88)
    head.writeUInt32LE(crc32(head.subarray(0, 92)), 16)
    return head
  }
  const last = sectors - 1
  for (const [bytes, at] of [
    [header(1, last, 2), 1],
    [entries, 2],
    [entries, last - ARRAY],
    [header(last, 1, last - ARRAY), last],
  ] as const) {
    writeSync(disk, bytes, 0, bytes.length, at * SECTOR)
  }
  closeSync(disk)
}

/** The table whose header is in sector `at`; null when a checksum says that it is none. */
export function readTable(file: string, at: number): Table | null {
  const disk = openSync(file, 'r')
  try {
    const head = Buffer.alloc(SECTOR)
    readSync(disk, head, 0, SECTOR, at * SECTOR)
    const sum = head.readUInt32LE(16)
    const checked = Buffer.from(head.subarray(0, 92))
    checked.writeUInt32LE(0, 16)
    if (head.toString('latin1', 0, 8) !== 'EFI PART' || crc32(checked) !== sum) return null
    const number = (offset: number): number => Number(head.readBigUInt64LE(offset))
    if (number(24) !== at) return null
    const entries = Buffer.alloc(head.readUInt32LE(80) * head.readUInt32LE(84))
    readSync(disk, entries, 0, entries.length, number(72) * SECTOR)
    if (crc32(entries) !== head.readUInt32LE(88)) return null
    const parts: Part[] = []
    for (let e = 0; e < entries.length; e += head.readUInt32LE(84)) {
      const from = Number(entries.readBigUInt64LE(e + 32))
      if (from === 0) continue
      const name = entries.toString('utf16le', e + 56, e + 128).replace(/\0.*$/s, '')
      parts.push({ name, from, to: Number(entries.readBigUInt64LE(e + 40)) })
    }
    return { parts, other: number(32), usable: [number(40), number(48)], entries: number(72) }
  } finally {
    closeSync(disk)
  }
}
