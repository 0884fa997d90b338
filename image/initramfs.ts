import {
  chmodSync,
  copyFileSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import type { Build, Debian, Kernel } from './build.ts'
import { REPOSITORY } from './layout.ts'
import { lines } from './lines.ts'
import { loadOrder, parseDependencies } from './modules.ts'
import { megabytes } from './progress.ts'
import { run } from './run.ts'

/**
 * Makes the initramfs, `to`: busybox, `board/common/initramfs/init` and its list of modules, and those modules with depmod's tables, for
 * busybox's modprobe looks them up by what the devices ask for.
 */
export async function makeInitramfs(build: Build, debian: Debian, kernel: Kernel, to: string): Promise<void> {
  const dir = join(build.work, 'initramfs')
  const from = join(REPOSITORY, 'board/common/initramfs')
  for (const name of ['bin', 'etc']) mkdirSync(join(dir, name), { recursive: true })
  for (const name of ['proc', 'sys', 'dev']) mkdirSync(join(dir, name))
  for (const [file, place, mode] of [
    // The static one, whose shell finds its tools in itself; the root has the other, where installed tools come first.
    [join(debian.unpacked, 'busybox-static/bin/busybox'), 'bin/busybox', 0o755],
    [join(from, 'init'), 'init', 0o755],
    [join(from, 'modules'), 'etc/modules', 0o644],
  ] as const) {
    copyFileSync(file, join(dir, place))
    chmodSync(join(dir, place), mode)
  }
  symlinkSync('busybox', join(dir, 'bin/sh'))
  const count = await copyModules(build, kernel, readFileSync(join(from, 'modules'), 'utf8'), dir)
  await pack(dir, to, build)
  rmSync(dir, { recursive: true })
  build.progress.say(`initramfs ${megabytes(statSync(to).size)}, ${count} modules`)
}

/** A line of the list is `NAME [BOARD]`, with `+` in front where the module is loaded always. Answers with how many there are, needed ones among them. */
async function copyModules(build: Build, { modules, release }: Kernel, list: string, dir: string): Promise<number> {
  const names = lines(list)
    .map((line) => line.split(/\s+/))
    .filter(([, board]) => board === undefined || board === build.board.name)
    .map(([name = '']) => name.replace(/^\+/, ''))
  const [from, to] = [join(modules, release), join(dir, 'lib/modules', release)]
  const order = loadOrder(parseDependencies(readFileSync(join(from, 'modules.dep'), 'utf8')), names)
  for (const path of order) {
    mkdirSync(dirname(join(to, path)), { recursive: true })
    copyFileSync(join(from, path), join(to, path))
  }
  for (const table of KERNEL_TABLES) copyFileSync(join(from, table), join(to, table))
  await run('depmod', ['-b', dir, release])
  // Only kmod's own tools read the binary forms.
  for (const file of readdirSync(to)) if (file.endsWith('.bin') || KERNEL_TABLES.includes(file)) rmSync(join(to, file))
  return order.length
}

/** A cpio archive with sorted names, one time and no owners; zstd, which the kernels of both boards unpack fastest. */
async function pack(dir: string, to: string, { version, fast }: Build): Promise<void> {
  const names = ['.', ...readdirSync(dir, { recursive: true, encoding: 'utf8' }).sort()]
  for (const name of [...names].reverse()) lutimesSync(join(dir, name), version.epoch, version.epoch)
  const archive = `${to}.cpio`
  await run('cpio', ['--null', '-o', '-H', 'newc', '--reproducible', '-R', '0:0', '--quiet'], {
    cwd: dir,
    input: names.map((name) => `${name}\0`).join(''),
    into: archive,
  })
  await run('zstd', ['-q', fast ? '-3' : '-19', '-T1', '--no-progress', '-f', '-o', to, archive])
  rmSync(archive)
}

const KERNEL_TABLES = ['modules.builtin', 'modules.builtin.modinfo', 'modules.order']
