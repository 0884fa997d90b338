import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { EXTERNAL, output, text } from './buildroot.ts'

const scratch = mkdtempSync(join(tmpdir(), 'ntm-kconfig-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

type Read = {
  readonly unknown: readonly string[]
  readonly lost: readonly string[]
  readonly undefined: readonly string[]
  readonly warnings: readonly string[]
  readonly values: Readonly<Record<string, string>>
}

const names = readdirSync(join(EXTERNAL, 'configs'))
const answers = read(names.map((name) => join(EXTERNAL, 'configs', name)))

/** Debian's Python by its path: the package is installed for no other. */
function read(paths: readonly string[]): Readonly<Record<string, Read>> {
  const [program, stub] = ['kconfig.py', 'buildroot-symbols.in'].map((file) => join(import.meta.dirname, file)) as [
    string,
    string,
  ]
  return JSON.parse(output('/usr/bin/python3', [program, stub, ...paths], { BR2_EXTERNAL_NTM_PATH: EXTERNAL }))
}

test('there is a defconfig for each board, and it names that board to the scripts', () => {
  expect(names.sort()).toEqual(['ntm_rpi4_64_defconfig', 'ntm_x86_64_defconfig'])
  const boards = names.map((name) => answers[name]?.values['BR2_ROOTFS_POST_SCRIPT_ARGS']).sort()
  expect(boards).toEqual(Object.keys((JSON.parse(text('board/layout.json')) as { boards: object }).boards).sort())
})

test.each(names)('%s: Kconfig knows every symbol and takes every line', (name) => {
  const { values: _, ...rest } = answers[name] as Read
  expect(rest).toEqual({ unknown: [], lost: [], undefined: [], warnings: [] })
})

test.each(names)('%s switches the product on, with what it selects', (name) => {
  const { values } = answers[name] as Read
  for (const symbol of [
    'NTM',
    'NTM_NODE',
    'NTM_DEPS',
    'RAUC',
    'RAUC_DBUS',
    'NFTABLES',
    'IPROUTE2',
    'E2FSPROGS_RESIZE2FS',
    'OPENSSH',
  ]) {
    expect(values[`BR2_PACKAGE_${symbol}`], symbol).toBe('y')
  }
  // No password, no login on a console, a root that is not written.
  for (const symbol of ['ENABLE_ROOT_LOGIN', 'GENERIC_GETTY', 'GENERIC_REMOUNT_ROOTFS_RW']) {
    expect(values[`BR2_TARGET_${symbol}`], symbol).toBeUndefined()
  }
  expect(values['BR2_DOWNLOAD_FORCE_CHECK_HASHES']).toBe('y')
})

test('a symbol that Buildroot does not have is found out', () => {
  const wrong = join(scratch, 'wrong_defconfig')
  writeFileSync(wrong, 'BR2_x86_64=y\nBR2_PACKAGE_RAUC_DBUS=y\nBR2_PACKAGE_NO_SUCH_THING=y\n')
  const found = read([wrong])['wrong_defconfig']
  expect(found?.unknown).toEqual(['BR2_PACKAGE_NO_SUCH_THING'])
  expect(found?.lost).toEqual(['BR2_PACKAGE_RAUC_DBUS: asked for y, is n'])
})

/** Both back ends' packages: what Debian calls it, and the symbol that brings it with Buildroot; null where another package brings it along. */
const DEBIAN: Readonly<Record<string, string | null>> = {
  systemd: 'BR2_INIT_SYSTEMD',
  'systemd-sysv': null,
  'systemd-timesyncd': null,
  udev: null,
  dbus: 'BR2_PACKAGE_RAUC_DBUS',
  rauc: 'BR2_PACKAGE_RAUC',
  'rauc-service': 'BR2_PACKAGE_RAUC_DBUS',
  kmod: null,
  busybox: 'BR2_PACKAGE_BUSYBOX_CONFIG_FRAGMENT_FILES',
  'libstdc++6': 'BR2_INSTALL_LIBSTDCPP',
  'busybox-static': 'BR2_PACKAGE_BUSYBOX_CONFIG_FRAGMENT_FILES',
  'util-linux': 'BR2_PACKAGE_UTIL_LINUX_BINARIES',
  mount: 'BR2_PACKAGE_UTIL_LINUX_BINARIES',
  fdisk: 'BR2_PACKAGE_UTIL_LINUX_BINARIES',
  e2fsprogs: 'BR2_PACKAGE_E2FSPROGS_RESIZE2FS',
  dosfstools: 'BR2_PACKAGE_DOSFSTOOLS_FSCK_FAT',
  iproute2: 'BR2_PACKAGE_IPROUTE2',
  nftables: 'BR2_PACKAGE_NFTABLES',
  'openssh-server': 'BR2_PACKAGE_OPENSSH',
  'ca-certificates': 'BR2_PACKAGE_CA_CERTIFICATES',
}

test.each(names)('%s has what the image from Debian packages has', (name) => {
  const { packages } = JSON.parse(text('board/layout.json')) as { packages: readonly string[] }
  const lacking = packages.filter((debian) => {
    const symbol = DEBIAN[debian]
    return symbol === undefined || (symbol !== null && answers[name]?.values[symbol] === undefined)
  })
  expect(lacking).toEqual([])
})
