import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Disk } from './disk.ts'
import type { Loaded } from './plan.ts'

/**
 * What the firmware of a Pi loads from the card: U-Boot, and the device tree of a 3B. QEMU has no GPU firmware that would. Its watchdog bites
 * in the moment in which it is started, so systemd is told to leave it alone; and to be patient.
 */
export function piLoads(disk: Disk): Loaded {
  const boot = disk.fat('boot')
  if (!boot.list().includes('local.env'))
    boot.write({ 'local.env': 'extra=systemd.watchdog_sec=off systemd.default_timeout_start_sec=600\n' })
  return { kernel: out(disk, 'boot', 'u-boot.bin'), dtb: take(boot.list().find((name) => PI_3B.test(name))) }

  function take(name: string | undefined): string {
    return out(disk, 'boot', name ?? 'bcm2837-rpi-3-b.dtb')
  }
}

/** The kernel of a slot started directly on the `virt` machine, which no boot loader of the Pi knows; slots are not changed there. */
export function virtLoads(disk: Disk, slot: 'A' | 'B' = 'A', more = ''): Loaded {
  const partition = `kernel${slot}`
  const kernel =
    disk
      .fat(partition)
      .list()
      .find((name) => /^vmlinuz/.test(name)) ?? 'vmlinuz'
  return {
    kernel: out(disk, partition, kernel),
    initrd: out(disk, partition, 'initrd.img'),
    args: `console=ttyAMA0 panic=10 quiet ntm.slot=${slot} ${more}`.trim(),
  }
}

function out(disk: Disk, partition: string, name: string): string {
  const file = join(`${disk.file}.${partition}-${name}`)
  if (existsSync(file)) rmSync(file)
  disk.fat(partition).copyOut(name, file)
  return file
}

const PI_3B = /^bcm(2837|2710)-rpi-3-b\.dtb$/
