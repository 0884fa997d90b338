import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Build } from '../../image/build.ts'
import { configString, isStatic, overRoot } from '../../image/buildroot.ts'
import { boardOf, readLayout } from '../../image/layout.ts'
import { Progress } from '../../image/progress.ts'
import { Store } from '../../image/store.ts'

const scratch = mkdtempSync(join(tmpdir(), 'ntm-target-'))
const target = join(scratch, 'target')
const path = process.env['PATH'] ?? ''
afterAll(() => {
  process.env['PATH'] = path
  rmSync(scratch, { recursive: true, force: true })
})

function put(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}

const MODULES = 'usr/lib/modules/6.12.91'
/** As depmod writes it: one module the list takes, one it needs, one of a vendor left out, one of nobody's. */
const DEPENDENCIES = `kernel/drivers/net/ethernet/intel/igb/igb.ko: kernel/drivers/i2c/algos/i2c-algo-bit.ko
kernel/drivers/i2c/algos/i2c-algo-bit.ko:
kernel/drivers/net/ethernet/mellanox/mlx4.ko:
kernel/sound/core/snd.ko:
`

beforeAll(async () => {
  // A target directory as Buildroot leaves it to post-build.sh, as far as our part of the work looks at it.
  for (const unit of ['systemd-networkd', 'systemd-timesyncd']) {
    put(join(target, `usr/lib/systemd/system/${unit}.service`), '[Install]\nWantedBy=multi-user.target\n')
  }
  put(join(target, 'usr/lib/os-release'), 'NAME=Buildroot\n')
  for (const line of DEPENDENCIES.trim().split('\n')) put(join(target, MODULES, line.split(':')[0] ?? ''), '')
  put(join(target, MODULES, 'modules.dep'), DEPENDENCIES)
  // The real one would find that these modules are empty.
  put(join(scratch, 'bin/depmod'), '#!/bin/sh\nexit 0\n')
  chmodSync(join(scratch, 'bin/depmod'), 0o755)
  process.env['PATH'] = `${join(scratch, 'bin')}${delimiter}${path}`
  put(join(scratch, 'update.pem'), 'certificate\n')
  const layout = readLayout()
  const build: Build = {
    layout,
    board: boardOf(layout, 'rpi-arm64'),
    version: { text: '0.1.0+20260102T030405.g01234567', product: '0.1.0', commit: '0123456789', epoch: 1_767_323_045 },
    key: { key: '', certificate: join(scratch, 'update.pem'), given: true },
    fast: false,
    work: join(scratch, 'work'),
    store: new Store(join(scratch, 'store')),
    progress: new Progress(),
  } as Build
  const br = { binaries: join(scratch, 'images'), buildDir: join(scratch, 'build'), target }
  await overRoot(build, br)
  // A rebuild runs the script again over the same directory.
  await overRoot(build, br)
})

test('the image knows what it is', () => {
  const release = readFileSync(join(target, 'etc/os-release'), 'utf8')
  expect(release).toContain('ID="ntm"\nID_LIKE="buildroot"\n')
  expect(release).toContain('IMAGE_ID="ntm-rpi-arm64"\nIMAGE_VERSION="0.1.0+20260102T030405.g01234567"\n')
  expect(JSON.parse(readFileSync(join(target, 'usr/lib/ntm/image.json'), 'utf8'))).toMatchObject({
    board: 'rpi-arm64',
    compatible: 'ntm-rpi-arm64',
    built: 1_767_323_045,
  })
  expect(readFileSync(join(target, 'etc/rauc/system.conf'), 'utf8')).toContain('\ncompatible=ntm-rpi-arm64\n')
  expect(readFileSync(join(target, 'etc/rauc/keyring.pem'), 'utf8')).toBe('certificate\n')
})

test("the overlay and the program's wrapper are in place", () => {
  expect(existsSync(join(target, 'usr/lib/ntm/boot-state'))).toBe(true)
  expect(existsSync(join(target, 'usr/lib/systemd/system/ntm-wire.service'))).toBe(true)
  expect(readFileSync(join(target, 'usr/bin/ntm'), 'utf8')).toContain('/usr/lib/ntm/app/src/cli/ntm.js')
})

test("Buildroot's last step turns on our units and nothing else; no console has a shell", () => {
  const preset = readFileSync(join(target, 'usr/lib/systemd/system-preset/00-ntm.preset'), 'utf8')
  expect(preset).toContain('enable systemd-networkd.service\n')
  expect(preset.endsWith('\ndisable *\n')).toBe(true)
  expect(readlinkSync(join(target, 'etc/systemd/system/serial-getty@.service'))).toBe('/dev/null')
})

test('only the modules of the list stay, with what they need', () => {
  const left = readdirSync(join(target, MODULES, 'kernel'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ko'),
  )
  expect(left.sort()).toEqual(['drivers/i2c/algos/i2c-algo-bit.ko', 'drivers/net/ethernet/intel/igb/igb.ko'])
})

test('a program that needs libraries is told from one that does not', () => {
  expect(isStatic(process.execPath)).toBe(false)
  // An ELF header with one program header, PT_LOAD.
  const elf = Buffer.alloc(128)
  elf.writeUInt32BE(0x7f454c46)
  elf[4] = 2
  elf.writeBigUInt64LE(64n, 32)
  elf.writeUInt16LE(56, 54)
  elf.writeUInt16LE(1, 56)
  elf.writeUInt32LE(1, 64)
  writeFileSync(join(scratch, 'static'), elf)
  expect(isStatic(join(scratch, 'static'))).toBe(true)
  writeFileSync(join(scratch, 'script'), '#!/bin/sh\n'.padEnd(64))
  expect(() => isStatic(join(scratch, 'script'))).toThrow('no 64-bit program')
})

test("strings of Buildroot's configuration are read", () => {
  const config = '# BR2_NTM_UPDATE_CERT is not set\nBR2_NTM_UPDATE_KEY="/keys/update.key"\nBR2_EMPTY=""\n'
  expect(configString(config, 'BR2_NTM_UPDATE_KEY')).toBe('/keys/update.key')
  expect(configString(config, 'BR2_EMPTY')).toBe('')
  expect(configString(config, 'BR2_NTM_UPDATE_CERT')).toBe('')
})
