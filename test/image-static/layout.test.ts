import { expect, test } from 'vitest'
import { boardOf, partitionNumber, partitionOf, readLayout } from '../../image/layout.ts'
import { text } from './buildroot.ts'

const layout = readLayout()
const pc = boardOf(layout, 'x86_64')
const pi = boardOf(layout, 'rpi-arm64')

/** All first groups of a pattern in a file, each once, sorted. */
function all(path: string, pattern: RegExp): readonly string[] {
  return [...new Set([...text(path).matchAll(pattern)].map(([, found = '']) => found))].sort()
}

test("GRUB's partition numbers are the layout's", () => {
  const [state, kernelA, kernelB] = ['state', 'kernelA', 'kernelB'].map((name) => partitionNumber(pc, name))
  const grub = text('board/x86_64/grub.cfg')
  expect(grub).toContain(`set state="$disk,gpt${state}"`)
  expect(grub).toContain(`set kernel="$disk,gpt${kernelA}"; else set kernel="$disk,gpt${kernelB}"`)
  expect(all('board/x86_64/grub.cfg', /\bgpt(\d+)"/g)).toEqual([state, kernelA, kernelB].map(String))
})

test("GRUB starts the layout's kernel file, consoles and number of tries", () => {
  const grub = text('board/x86_64/grub.cfg')
  expect(grub).toContain(`($kernel)/${pc.kernelFile} $consoles`)
  expect(grub).toContain(`set consoles="${pc.consoles.map((console) => `console=${console}`).join(' ')}"`)
  expect(all('board/x86_64/grub.cfg', /^set [AB]_LEFT=(\d)$/gm)).toEqual([String(layout.tries)])
})

test("U-Boot's script asks for partitions, files and places that are there", () => {
  const script = text('board/rpi-arm64/boot.cmd')
  expect(script).toContain(`part start mmc \${devnum} state first`)
  expect(script).toContain(`part number mmc \${devnum} kernel\${slot} kernel_part`)
  for (const slot of layout.slots) expect(partitionOf(pi, `kernel${slot}`).filesystem).toBe('vfat')
  expect(script).toContain(`\${kernel_at} ${pi.kernelFile};`)
  expect(script).toContain(`"@CONSOLES@ panic=10 quiet ntm.slot=\${slot}`)
  // The environment starts boot.scr from partition 1, where the firmware found U-Boot itself.
  expect(text('board/rpi-arm64/uboot.env.txt')).toContain(`load mmc \${d}:1 `)
  expect(partitionNumber(pi, 'boot')).toBe(1)
  expect(text('board/rpi-arm64/uboot.fragment')).toContain('CONFIG_ENV_FAT_DEVICE_AND_PART="0:1"\n')
})

test('both loaders and Linux keep the boot state at the same two places', () => {
  const tool = text('board/common/overlay/usr/lib/ntm/boot-state')
  const places = (name: string) => {
    const [, one, two] = new RegExp(`${name}\\) format=\\w+ one=(\\d+) two=(\\d+)`).exec(tool) ?? []
    return [Number(one), Number(two)] as const
  }
  const [first, second] = places('rpi-arm64')
  expect(first).toBe(0)
  expect(text('board/rpi-arm64/boot.cmd')).toContain(`setexpr second \${first} + ${second.toString(16)}\n`)
  // FAT12 of a PC: sector N is cluster N - 6.
  for (const sector of places('x86_64')) {
    expect(text('board/common/make-state.sh')).toContain(`cluster ${sector - 6} (sector ${sector})`)
  }
  for (const board of [pc, pi]) expect(partitionOf(board, 'state').mib * 2048).toBeGreaterThan(1152)
})

test("every command of U-Boot's script is switched on in its fragment", () => {
  const fragment = text('board/rpi-arm64/uboot.fragment')
  const words = [
    ...text('board/rpi-arm64/boot.cmd')
      .replaceAll(/^#.*$/gm, '')
      .matchAll(/(?:^|; |then |else |if )\s*([a-z0-9]+)/gm),
  ].map(([, word = '']) => word)
  expect(words).toContain('crc32')
  const lacking = words.filter((word) => {
    const symbol = COMMANDS[word]
    return symbol === undefined || (symbol !== '' && !fragment.includes(`\nCONFIG_${symbol}=y\n`))
  })
  expect(lacking).toEqual([])
})

/** What brings a command of boot.cmd; empty for the shell's own words. */
const COMMANDS: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    ['if', 'then', 'else', 'elif', 'fi', 'for', 'do', 'done', 'setenv', 'test', 'reset'].map((word) => [word, '']),
  ),
  booti: 'CMD_BOOTI',
  cmp: 'CMD_MEMORY',
  crc32: 'CMD_CRC32',
  echo: 'CMD_ECHO',
  env: 'CMD_IMPORTENV',
  gpio: 'CMD_GPIO',
  load: 'CMD_FS_GENERIC',
  mmc: 'CMD_MMC',
  mw: 'CMD_MEMORY',
  part: 'CMD_PART',
  setexpr: 'CMD_SETEXPR',
  sleep: 'CMD_SLEEP',
}

test("RAUC's slots are partitions of both boards", () => {
  const devices = all('board/common/rauc/system.conf.in', /^device=\/dev\/ntm\/(\w+)$/gm)
  expect(devices).toEqual(layout.slots.flatMap((slot) => [`kernel${slot}`, `root${slot}`]).sort())
  expect(all('board/common/rauc/system.conf.in', /^bootname=(\w+)$/gm)).toEqual([...layout.slots])
  for (const board of [pc, pi]) for (const name of devices) expect(partitionNumber(board, name)).toBeGreaterThan(0)
})

test.each([pc, pi])('$name: slots are alike, only the last partition grows', ({ partitions }) => {
  const size = (name: string) => partitions.find((partition) => partition.name === name)?.mib
  for (const kind of ['root', 'kernel'])
    expect(new Set(layout.slots.map((slot) => size(`${kind}${slot}`))).size).toBe(1)
  expect(partitions.filter(({ grows }) => grows === true).map(({ name }) => name)).toEqual([partitions.at(-1)?.name])
  expect((size('rootA') ?? 0) * 1024 * 1024).toBeGreaterThan(layout.squashfsMegabytes * 1_000_000)
})
