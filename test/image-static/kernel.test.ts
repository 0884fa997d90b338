import { expect, test } from 'vitest'
import { text } from './buildroot.ts'

/** Lines of a list without comments. */
function list(path: string): readonly string[] {
  return text(path)
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '')
}

/** The fragment by its sections: what stands behind `## `, and the lines below up to the next section. */
function sections(): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>()
  let name = ''
  for (const line of text('board/common/linux.fragment').split('\n')) {
    const head = /^## (\S+)$/.exec(line)
    if (head !== null) name = head[1] ?? ''
    else if (/^# ---/.test(line)) name = ''
    else if (name !== '' && line !== '') found.set(name, [...(found.get(name) ?? []), line])
  }
  return found
}

const ON = /^CONFIG_[A-Z0-9_]+=([ym]|"[^"]*"|\d+|0x[0-9a-f]+)$/
const OFF = /^# CONFIG_[A-Z0-9_]+ is not set$/

test('the kernel fragment has every line of the module list, and no other', () => {
  const modules = list('board/common/modules')
  expect(modules.length).toBeGreaterThan(80)
  expect([...sections().keys()].sort()).toEqual([...modules].sort())
})

test('a line that takes something switches it on, one that leaves it out switches it off', () => {
  const wrong = [...sections()].filter(([name, lines]) => {
    const symbols = lines.filter((line) => line.includes('CONFIG_'))
    const right = name.startsWith('!') ? OFF : ON
    return symbols.length === 0 || !symbols.every((line) => right.test(line))
  })
  expect(wrong).toEqual([])
})

test.each(['common', 'x86_64', 'rpi-arm64'])(
  'the fragment of %s is made of settings and comments, each symbol once',
  (board) => {
    const lines = text(`board/${board}/linux.fragment`).split('\n')
    const settings = lines.filter((line) => line !== '' && (!line.startsWith('#') || OFF.test(line)))
    expect(settings.filter((line) => !ON.test(line) && !OFF.test(line))).toEqual([])
    const symbols = settings.map((line) => /CONFIG_[A-Z0-9_]+/.exec(line)?.[0] ?? '')
    expect(symbols.filter((symbol, i) => symbols.indexOf(symbol) !== i)).toEqual([])
  },
)

test('what finds and mounts the root is built in, or among the modules of the initramfs', () => {
  const fragment = text('board/common/linux.fragment')
  for (const symbol of [
    'SQUASHFS',
    'OVERLAY_FS',
    'EXT4_FS',
    'VFAT_FS',
    'BLK_DEV_NVME',
    'SATA_AHCI',
    'VIRTIO_BLK',
    'MMC_BLOCK',
    'USB_STORAGE',
  ]) {
    expect(fragment, symbol).toContain(`\nCONFIG_${symbol}=y\n`)
  }
  // A Pi's failed start is ended by this one alone.
  expect(fragment).toContain('\nCONFIG_BCM2835_WDT=y\n')
  expect(list('board/common/initramfs/modules')).toContain('+bcm2835_wdt rpi-arm64')
})

/** BusyBox calls most of its symbols like its tools. */
const SYMBOLS: Readonly<Record<string, string>> = { '[': 'TEST1', sh: 'SH_IS_ASH' }

test("BusyBox's fragment has every tool of the applet list", () => {
  const fragment = text('board/common/busybox.fragment')
  const lacking = list('board/common/applets')
    .map((path) => path.slice(path.lastIndexOf('/') + 1))
    .map((name) => SYMBOLS[name] ?? name.toUpperCase().replaceAll('-', '_'))
    .filter((symbol) => !fragment.includes(`\nCONFIG_${symbol}=y\n`))
  expect(lacking).toEqual([])
  expect(fragment).toContain('\nCONFIG_STATIC=y\n')
})
