import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BoardWays, Build, Debian } from './build.ts'
import { ImageError } from './fault.ts'
import { REPOSITORY } from './layout.ts'
import { nodePackage } from './node.ts'
import { run } from './run.ts'

// Needed while this file loads. On an arm64 machine its own compiler does.
const CROSS = process.arch === 'arm64' ? '' : 'aarch64-linux-gnu-'

/** What is particular to a Raspberry Pi: firmware and U-Boot on the boot partition, the addon cross-compiled. */
export const rpi: BoardWays = {
  tools: ['mkimage', 'mkenvimage', 'make', `${CROSS}gcc`, `${CROSS}strip`],

  async packetAddon(build) {
    const out = join(build.work, 'packet-io')
    mkdirSync(out, { recursive: true })
    const node = await nodePackage(build)
    await run('make', [
      '-s',
      '-C',
      join(REPOSITORY, 'native/packet-io'),
      `CC=${CROSS}gcc`,
      `NODE_INCLUDE=${join(node, 'include/node')}`,
      `OUT=${out}`,
    ])
    const addon = join(out, 'packet-io.node')
    await run(`${CROSS}strip`, ['--strip-unneeded', addon])
    return addon
  },

  async bootFiles(build, debian, dir) {
    const firmware = join(debian.unpacked, 'raspi-firmware/usr/lib/raspi-firmware')
    for (const file of FIRMWARE) copyFileSync(join(firmware, file), join(dir, file))
    for (const file of MODELS) copyFileSync(join(deviceTrees(debian), file), join(dir, file))
    copyFileSync(uBoot(debian), join(dir, 'u-boot.bin'))
    copyFileSync(join(OURS, 'config.txt'), join(dir, 'config.txt'))
    await run('mkenvimage', [
      '-s',
      ENVIRONMENT_BYTES,
      '-p',
      '0',
      '-o',
      join(dir, 'uboot.env'),
      join(OURS, 'uboot.env.txt'),
    ])
    const script = join(build.work, 'boot.cmd')
    writeFileSync(script, bootCommands(build))
    const env = { SOURCE_DATE_EPOCH: String(build.version.epoch) }
    await run(
      'mkimage',
      ['-A', 'arm64', '-T', 'script', '-C', 'none', '-n', 'ntm', '-d', script, join(dir, 'boot.scr')],
      { env },
    )
  },

  async rawPartitions(build) {
    const state = join(build.work, 'state.img')
    await run('sh', [join(REPOSITORY, 'board/common/make-state.sh'), build.board.name, state])
    return { state }
  },

  async finish() {
    // The firmware needs nothing outside its partition.
  },
}

/** The boot script with the layout's values in place of `@NAMES@`. */
function bootCommands({ board, layout }: Build): string {
  const values: Readonly<Record<string, string>> = {
    CONSOLES: board.consoles.map((console) => `console=${console}`).join(' '),
    TRIES: String(layout.tries),
  }
  return readFileSync(join(OURS, 'boot.cmd'), 'utf8').replaceAll(/@([A-Z]+)@/g, (_, name: string) => {
    const value = values[name]
    if (value === undefined) throw new ImageError(`board/rpi-arm64/boot.cmd: nobody knows @${name}@`)
    return value
  })
}

function uBoot({ unpacked }: Debian): string {
  return join(unpacked, 'u-boot-rpi/usr/lib/u-boot/rpi_arm64/u-boot.bin')
}

/** The kernel package's own device trees: they belong to this kernel. */
function deviceTrees({ unpacked }: Debian): string {
  const lib = join(unpacked, 'kernel/usr/lib')
  const image = readdirSync(lib).find((name) => name.startsWith('linux-image-'))
  if (image === undefined) throw new ImageError(`${lib}: no device trees`)
  return join(lib, image, 'broadcom')
}

const OURS = join(REPOSITORY, 'board/rpi-arm64')
// CONFIG_ENV_SIZE of U-Boot's rpi_arm64_defconfig; with another size U-Boot refuses the file and asks for keys at its prompt.
const ENVIRONMENT_BYTES = '0x4000'
const FIRMWARE = ['bootcode.bin', 'start.elf', 'fixup.dat', 'start4.elf', 'fixup4.dat']
const MODELS = ['bcm2837-rpi-3-b.dtb', 'bcm2837-rpi-3-b-plus.dtb', 'bcm2711-rpi-4-b.dtb', 'bcm2711-rpi-cm4-io.dtb']
