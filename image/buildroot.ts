import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import type { BoardWays, Build, DebianPackage, Kernel } from './build.ts'
import { ImageError } from './fault.ts'
import { finishImage } from './image.ts'
import { updateKey } from './keys.ts'
import { boardOf, REPOSITORY, readLayout, WORK } from './layout.ts'
import { lines } from './lines.ts'
import { withLock } from './lock.ts'
import { choose, parseDependencies, parseWhitelist } from './modules.ts'
import { Progress } from './progress.ts'
import { applyBoard } from './root.ts'
import { rpi } from './rpi.ts'
import { run } from './run.ts'
import { Store } from './store.ts'
import { versionOfClone } from './version.ts'
import { x86 } from './x86.ts'

/**
 * The part of a Buildroot build that is ours: `root BOARD` from post-build.sh, when the target directory is full, `image BOARD` from
 * post-image.sh, when Buildroot has packed it. Everything that is not Buildroot's own is done by the same stages as for Debian's packages.
 */

/** Buildroot's directories, as it exports them to its scripts. */
export type Buildroot = { readonly binaries: string; readonly buildDir: string; readonly target: string }

/** What post-build.sh does: `board/`'s files over the target directory, the modules of `board/common/modules`, which units run. */
export async function overRoot(build: Build, { target }: Buildroot): Promise<void> {
  const { board, progress } = build
  for (const name of MOUNT_POINTS) mkdirSync(join(target, name), { recursive: true })
  applyBoard(build, target)
  const release = join(target, 'usr/lib/os-release')
  writeFileSync(release, readFileSync(release, 'utf8').replace(/^ID_LIKE=.*$/m, 'ID_LIKE="buildroot"'))
  writePresets(target)
  const { kept, all } = await onlyListedModules(target)
  progress.say(`${board.name}: our files are in place; ${kept} of ${all} kernel modules`)
}

/** Buildroot turns on, last of all, every unit no preset speaks of: only `board/common/units` and what overlays link statically shall run. */
function writePresets(target: string): void {
  const on = lines(readFileSync(join(REPOSITORY, 'board/common/units'), 'utf8'))
    .filter((line) => line.startsWith('on '))
    .map((line) => `enable ${line.slice(3).trim()}\n`)
  const file = join(target, 'usr/lib/systemd/system-preset/00-ntm.preset')
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${on.join('')}disable *\n`)
}

/** Removes modules that the list does not take; an architecture's own defconfig has hundreds more. */
async function onlyListedModules(target: string): Promise<{ readonly kept: number; readonly all: number }> {
  const release = kernelRelease(target)
  const tree = join(target, 'usr/lib/modules', release)
  await run('depmod', ['-b', target, release])
  const needs = parseDependencies(readFileSync(join(tree, 'modules.dep'), 'utf8'))
  const chosen = new Set(choose(needs, parseWhitelist(readFileSync(join(REPOSITORY, 'board/common/modules'), 'utf8'))))
  for (const module of needs.keys()) if (!chosen.has(module)) rmSync(join(tree, module), { force: true })
  for (const link of ['build', 'source']) rmSync(join(tree, link), { force: true })
  await run('depmod', ['-b', target, release])
  return { kept: chosen.size, all: needs.size }
}

function kernelRelease(target: string): string {
  const dir = join(target, 'usr/lib/modules')
  const found = existsSync(dir) ? readdirSync(dir) : []
  if (found.length !== 1)
    throw new ImageError(`${dir} should hold one kernel's modules, it holds: ${found.join(', ') || 'none'}`)
  return found[0] as string
}

/** What post-image.sh does: initramfs, disk image, update bundle, from Buildroot's `rootfs.squashfs` and boot loader. */
export async function makeImage(build: Build, br: Buildroot, out: string): Promise<void> {
  const { board, work } = build
  const rootfs = join(br.binaries, 'rootfs.squashfs')
  if (!existsSync(rootfs)) throw new ImageError(`${rootfs} is missing: is BR2_TARGET_ROOTFS_SQUASHFS on?`)
  const busybox = join(br.target, 'usr/bin/busybox')
  if (!isStatic(busybox))
    throw new ImageError(
      `${busybox} needs libraries, which the initramfs has not: is board/common/busybox.fragment in use?`,
    )
  const layOut = LAYOUTS[board.name]
  const ways = WAYS[board.name]
  if (layOut === undefined || ways === undefined)
    throw new ImageError(`Buildroot is not set up for the board ${board.name}`)
  const unpacked = join(work, 'unpacked')
  for (const [place, from] of Object.entries({ 'busybox-static/bin/busybox': busybox, ...layOut(br) })) {
    if (!existsSync(from)) throw new ImageError(`${from} is missing`)
    mkdirSync(dirname(join(unpacked, place)), { recursive: true })
    symlinkSync(from, join(unpacked, place))
  }
  const packages = await packagesOf(br)
  await finishImage(
    build,
    ways,
    { debian: { root: br.target, unpacked, packages }, kernel: await kernelOf(build, br), rootfs },
    out,
  )
}

async function kernelOf({ board, work }: Build, { binaries, target }: Buildroot): Promise<Kernel> {
  const image = join(work, board.kernelFile)
  const from = join(binaries, board.name === 'x86_64' ? 'bzImage' : 'Image')
  if (!existsSync(from)) throw new ImageError(`${from} is missing`)
  if (image.endsWith('.gz')) await run('gzip', ['-9nc', from], { into: image })
  else copyFileSync(from, image)
  return { release: kernelRelease(target), image, modules: join(target, 'usr/lib/modules') }
}

/** Buildroot's own account of what is in the target directory. */
async function packagesOf({ buildDir }: Buildroot): Promise<readonly DebianPackage[]> {
  const info = JSON.parse(
    await run('make', ['-s', '--no-print-directory', `O=${dirname(buildDir)}`, 'show-info']),
  ) as Info
  return (
    Object.entries(info)
      // Ours are listed as what they are made of.
      .filter(([name, { type, virtual }]) => type === 'target' && !virtual && !/^(skeleton|ntm$|ntm-)/.test(name))
      .map(([name, { version = '', licenses = '' }]) => {
        const licence = licenses.split(/,\s+(?![^(]*\))/).filter((one) => one !== '')
        return {
          name,
          version,
          source: name,
          sourceVersion: version,
          licences: licence,
          use: 'root' as const,
          by: 'Buildroot' as const,
        }
      })
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  )
}

type Info = Readonly<
  Record<
    string,
    { readonly type: string; readonly virtual?: boolean; readonly version?: string; readonly licenses?: string }
  >
>

/** Whether an ELF program asks for no interpreter (PT_INTERP), so that it runs without libraries. */
export function isStatic(path: string): boolean {
  const head = Buffer.alloc(4096)
  const file = openSync(path, 'r')
  readSync(file, head, 0, head.length, 0)
  closeSync(file)
  if (head.readUInt32BE(0) !== 0x7f454c46 || head[4] !== 2) throw new ImageError(`${path} is no 64-bit program`)
  const [at, size, count] = [Number(head.readBigUInt64LE(32)), head.readUInt16LE(54), head.readUInt16LE(56)]
  for (let i = 0; i < count; i++) if (head.readUInt32LE(at + i * size) === PT_INTERP) return false
  return true
}

/** The value of a string symbol in Buildroot's `.config`, empty when it is not there. */
export function configString(config: string, symbol: string): string {
  return new RegExp(`^${symbol}="(.*)"$`, 'm').exec(config)?.[1] ?? ''
}

const PT_INTERP = 3
const MOUNT_POINTS = ['data', 'boot', 'mnt', 'etc/rauc']
const WAYS: Readonly<Record<string, BoardWays>> = { x86_64: x86, 'rpi-arm64': rpi }

/** For each board: where Debian's package has a file or directory that the board's stages read, and where Buildroot has it. */
const LAYOUTS: Readonly<Record<string, (br: Buildroot) => Readonly<Record<string, string>>>> = {
  x86_64: ({ buildDir }) => {
    const grub = readdirSync(buildDir).find((name) => /^grub2-[\d.]+/.test(name)) ?? 'grub2'
    return {
      'grub-pc-bin/usr/lib/grub/i386-pc': join(buildDir, grub, 'build-i386-pc/grub-core'),
      'grub-efi-amd64-bin/usr/lib/grub/x86_64-efi': join(buildDir, grub, 'build-x86_64-efi/grub-core'),
    }
  },
  'rpi-arm64': ({ binaries }) => ({
    'raspi-firmware/usr/lib/raspi-firmware': join(binaries, 'rpi-firmware'),
    'u-boot-rpi/usr/lib/u-boot/rpi_arm64/u-boot.bin': join(binaries, 'u-boot.bin'),
    'kernel/usr/lib/linux-image-buildroot/broadcom': binaries,
  }),
}

if (import.meta.main) {
  const [verb = '', name = ''] = process.argv.slice(2)
  const env = (key: string): string => {
    const value = process.env[key]
    if (value === undefined)
      throw new ImageError(`${key} is not set: this is run by Buildroot's post-build and post-image scripts`)
    return value
  }
  try {
    process.umask(0o022)
    // Buildroot's own tools first: their versions are those of its release, not of the machine.
    process.env['PATH'] = [join(env('HOST_DIR'), 'bin'), join(env('HOST_DIR'), 'sbin'), process.env['PATH'] ?? ''].join(
      delimiter,
    )
    const config = readFileSync(env('BR2_CONFIG'), 'utf8')
    for (const name of ['NTM_UPDATE_KEY', 'NTM_UPDATE_CERT']) {
      const value = configString(config, `BR2_${name}`)
      if (value !== '') process.env[name] = value
    }
    const layout = readLayout()
    const board = boardOf(layout, name)
    const br = { binaries: env('BINARIES_DIR'), buildDir: env('BUILD_DIR'), target: env('TARGET_DIR') }
    const work = join(br.buildDir, 'ntm-image')
    const version = await versionOfClone()
    process.env['SOURCE_DATE_EPOCH'] = String(version.epoch)
    const key = await updateKey(join(WORK, 'keys'))
    const progress = new Progress()
    const build: Build = {
      layout,
      board,
      version,
      key,
      fast: false,
      work,
      store: new Store(join(br.buildDir, 'ntm-store')),
      progress,
    }
    await withLock(`${work}.lock`, async () => {
      rmSync(work, { recursive: true, force: true })
      mkdirSync(work, { recursive: true })
      if (verb === 'root') await overRoot(build, br)
      else if (verb === 'image') await makeImage(build, br, join(br.binaries, 'ntm'))
      else throw new ImageError('usage: buildroot.ts root|image BOARD')
      rmSync(work, { recursive: true, force: true })
    })
  } catch (fault) {
    process.stderr.write(
      `ntm: ${fault instanceof ImageError ? fault.message : fault instanceof Error ? fault.stack : String(fault)}\n`,
    )
    process.exitCode = 1
  }
}
