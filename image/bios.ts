import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs'
import { ImageError } from './fault.ts'

/**
 * Makes a GPT disk image start on a BIOS: GRUB's boot sector into the first one (the partition table stays), pointing to `core.img`, which
 * lies whole from sector `first` on. What grub-bios-setup does to a disk, without needing one.
 */
export function patchBootSector(image: string, bootImg: string, first: number): void {
  const file = openSync(image, 'r+')
  try {
    const boot = readFileSync(bootImg)
    const sector = read(file, 0)
    if (boot.length !== SECTOR || sector.readUInt16LE(510) !== 0xaa55)
      throw new ImageError(`${bootImg} or ${image} is no boot sector`)
    boot.copy(sector, 0, 0, CODE_BYTES)
    sector.writeBigUInt64LE(BigInt(first), KERNEL_SECTOR)
    // A jump over the check of the drive number, for firmware that passes a wrong one: taken out, as grub-bios-setup does for hard disks.
    sector.writeUInt16LE(NOPS, DRIVE_CHECK)
    writeSync(file, sector, 0, SECTOR, 0)
    // The loader's first sector knows where the rest of it is.
    const core = read(file, first * SECTOR)
    if (core.readUInt16LE(BLOCK_LIST + 8) === 0) throw new ImageError(`${image}: no core.img at sector ${first}`)
    core.writeBigUInt64LE(BigInt(first + 1), BLOCK_LIST)
    writeSync(file, core, 0, SECTOR, first * SECTOR)
  } finally {
    closeSync(file)
  }
}

function read(file: number, at: number): Buffer {
  const sector = Buffer.alloc(SECTOR)
  readSync(file, sector, 0, SECTOR, at)
  return sector
}

const SECTOR = 512
// Offsets of GRUB 2's boot.S and diskboot.S. Up to 440 is code, then the disk's signature and the partition table.
const CODE_BYTES = 440
const KERNEL_SECTOR = 0x5c
const DRIVE_CHECK = 0x66
const NOPS = 0x9090
const BLOCK_LIST = 0x1f4
