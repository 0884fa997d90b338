import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { Build } from './build.ts'
import { makeFat } from './fat.ts'
import { partitionOf } from './layout.ts'

/**
 * Makes the image that each slot's kernel partition holds: kernel, initramfs, and the initramfs' CRC-32 (4 bytes, little endian), by which U-Boot
 * knows a torn one before it starts it.
 */
export async function makeKernelFat(build: Build, kernel: string, initramfs: string, to: string): Promise<void> {
  const dir = join(build.work, 'kernel-files')
  mkdirSync(dir)
  copyFileSync(kernel, join(dir, basename(kernel)))
  copyFileSync(initramfs, join(dir, 'initrd.img'))
  const sum = Buffer.alloc(4)
  sum.writeUInt32LE(crc32(readFileSync(initramfs)))
  writeFileSync(join(dir, 'initrd.crc'), sum)
  const { mib, label = 'NTMKERNEL' } = partitionOf(build.board, `kernel${build.layout.slots[0]}`)
  await makeFat(dir, to, { mib, label, serial: '4e544d4b', epoch: build.version.epoch })
  rmSync(dir, { recursive: true })
}
