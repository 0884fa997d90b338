import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Build, Debian, Kernel } from './build.ts'
import { ImageError } from './fault.ts'
import { REPOSITORY } from './layout.ts'
import { choose, parseDependencies, parseWhitelist } from './modules.ts'
import { run } from './run.ts'
import { fingerprint } from './store.ts'

/** The board's kernel and its whitelisted modules (`board/common/modules`), from Debian's package. */
export async function kernel(build: Build, debian: Debian): Promise<Kernel> {
  const whitelist = join(REPOSITORY, 'board/common/modules')
  const code = ['kernel.ts', 'modules.ts'].map((file) => join(import.meta.dirname, file))
  const inputs = [debian.unpacked, build.board.kernelFile, fingerprint([whitelist, ...code])]
  const dir = await build.store.keep(`kernel-${build.board.name}`, inputs, (fresh) =>
    make(build, debian, whitelist, fresh),
  )
  const release = readdirSync(join(dir, 'modules'))[0] ?? ''
  return { release, image: join(dir, build.board.kernelFile), modules: join(dir, 'modules') }
}

async function make(build: Build, debian: Debian, whitelist: string, dir: string): Promise<void> {
  const from = join(debian.unpacked, 'kernel')
  const all = ['usr/lib/modules', 'lib/modules'].map((path) => join(from, path)).find((path) => existsSync(path))
  const release = all === undefined ? undefined : readdirSync(all)[0]
  if (all === undefined || release === undefined) throw new ImageError(`${build.board.kernelPackage}: no modules in it`)
  // depmod only knows trees below lib/modules.
  const whole = join(dir, 'whole')
  await run('cp', ['-a', '--reflink=auto', from, whole])
  if (!existsSync(join(whole, 'lib/modules'))) {
    mkdirSync(join(whole, 'lib'), { recursive: true })
    cpSync(join(whole, 'usr/lib/modules'), join(whole, 'lib/modules'), { recursive: true, verbatimSymlinks: true })
  }
  await run('depmod', ['-b', whole, release])
  const tree = join(whole, 'lib/modules', release)
  const needs = parseDependencies(readFileSync(join(tree, 'modules.dep'), 'utf8'))
  const chosen = choose(needs, parseWhitelist(readFileSync(whitelist, 'utf8')))

  const kept = join(dir, 'lib/modules', release)
  for (const module of chosen) {
    mkdirSync(dirname(join(kept, module)), { recursive: true })
    copyFileSync(join(tree, module), join(kept, module))
  }
  for (const table of ['modules.builtin', 'modules.builtin.modinfo', 'modules.order']) {
    copyFileSync(join(tree, table), join(kept, table))
  }
  await run('depmod', ['-b', dir, release])
  await run('mv', [join(dir, 'lib/modules'), join(dir, 'modules')])
  rmSync(join(dir, 'lib'), { recursive: true })
  await compressed(join(from, `boot/vmlinuz-${release}`), join(dir, build.board.kernelFile))
  rmSync(whole, { recursive: true })
  build.progress.say(`kernel ${release}: ${chosen.length} of ${needs.size} modules`)
}

/** U-Boot reads a gzipped kernel three times faster than a plain one, so the Pi's is called `vmlinuz.gz`. */
async function compressed(from: string, to: string): Promise<void> {
  if (basename(to).endsWith('.gz')) await run('gzip', ['-9nc', from], { into: to })
  else copyFileSync(from, to)
}
