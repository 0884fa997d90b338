import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { patchBootSector } from './bios.ts'
import type { BoardWays, Build, Debian } from './build.ts'
import { mustFit } from './disk.ts'
import { ImageError } from './fault.ts'
import { REPOSITORY } from './layout.ts'
import { run } from './run.ts'

/** What is particular to a PC: GRUB for BIOS and for UEFI on one disk, the addon compiled by the machine's own compiler. */
export const x86: BoardWays = {
  tools: ['grub-mkimage', 'make', 'gcc', 'strip'],

  async packetAddon(build) {
    if (process.arch !== 'x64')
      throw new ImageError('the x86_64 image is built on an x86_64 machine: its addon is not cross-compiled')
    const out = join(build.work, 'packet-io')
    mkdirSync(out)
    await run('make', ['-s', '-C', join(REPOSITORY, 'native/packet-io'), `OUT=${out}`])
    const addon = join(out, 'packet-io.node')
    await run('strip', ['--strip-unneeded', addon])
    return addon
  },

  async bootFiles(build, debian, dir) {
    mkdirSync(join(dir, 'EFI/BOOT'), { recursive: true })
    mkdirSync(join(dir, 'grub'))
    copyFileSync(join(REPOSITORY, 'board/x86_64/grub.cfg'), join(dir, 'grub/grub.cfg'))
    await grub(build, debian, 'x86_64-efi', join(dir, 'EFI/BOOT/BOOTX64.EFI'))
  },

  async rawPartitions(build, debian) {
    const [bios, state] = [join(build.work, 'core.img'), join(build.work, 'state.img')]
    await grub(build, debian, 'i386-pc', bios)
    mustFit(build.board, 'bios', bios)
    await run('sh', [join(REPOSITORY, 'board/common/make-state.sh'), build.board.name, state])
    return { bios, state }
  },

  async finish({ board }, debian, image) {
    // The partition `bios` is the disk's first and begins at 1 MiB.
    if (board.partitions[0]?.name !== 'bios')
      throw new ImageError('board/layout.json: a PC starts with the partition "bios"')
    patchBootSector(image, join(grubModules(debian, 'i386-pc'), 'boot.img'), 2048)
  },
}

type Platform = 'x86_64-efi' | 'i386-pc'

/** One file with GRUB's core and every module that grub.cfg uses. It looks for the boot partition by its label, and reads grub.cfg there. */
async function grub(build: Build, debian: Debian, platform: Platform, to: string): Promise<void> {
  const early = join(build.work, 'early.cfg')
  const { boot } = build.layout.labels
  writeFileSync(
    early,
    `search --no-floppy --label ${boot} --set=root\nset prefix=($root)/grub\nconfigfile ($root)/grub/grub.cfg\n`,
  )
  const modules = [...MODULES, ...(platform === 'i386-pc' ? ['biosdisk', 'vga'] : ['efi_gop', 'efi_uga'])]
  await run('grub-mkimage', [
    '-O',
    platform,
    '-d',
    grubModules(debian, platform),
    '-c',
    early,
    '-p',
    '/grub',
    '-o',
    to,
    ...modules,
  ])
}

function grubModules(debian: Debian, platform: Platform): string {
  const name = platform === 'i386-pc' ? 'grub-pc-bin' : 'grub-efi-amd64-bin'
  return join(debian.unpacked, name, 'usr/lib/grub', platform)
}

const MODULES = [
  ...[
    'part_gpt',
    'part_msdos',
    'fat',
    'search',
    'search_label',
    'normal',
    'configfile',
    'linux',
    'echo',
    'test',
    'loadenv',
    'regexp',
  ],
  ...['sleep', 'serial', 'terminal', 'reboot', 'halt', 'minicmd', 'all_video', 'password'],
]
