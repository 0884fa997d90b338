import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Build } from './build.ts'
import { ImageError } from './fault.ts'
import { REPOSITORY } from './layout.ts'
import { run } from './run.ts'

type Locked = { readonly version: string; readonly integrity: string }

/**
 * The directory of npm's package of Node for the board's processor (`bin/node`, `include/node`), at package-lock.json's version. npm installs
 * only the one of the machine it runs on: the other is fetched by npm from wherever it fetches, and must have package-lock's hash.
 */
export async function nodePackage(build: Build): Promise<string> {
  const name = build.board.node
  const locked = lockedNode(name)
  const installed = join(REPOSITORY, 'node_modules', name)
  if (existsSync(join(installed, 'bin/node')) && versionIn(installed) === locked.version) return installed
  const dir = await build.store.keep(name, [locked.version, locked.integrity], async (fresh) => {
    await fetch(name, locked, fresh)
    build.progress.say(`Node ${locked.version}: ${name} from npm`)
  })
  return join(dir, 'package')
}

async function fetch(name: string, { version, integrity }: Locked, dir: string): Promise<void> {
  await run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', dir, `${name}@${version}`], {
    cwd: REPOSITORY,
  })
  const file = readdirSync(dir).find((entry) => entry.endsWith('.tgz'))
  if (file === undefined) throw new ImageError(`npm pack ${name}@${version} left no file`)
  const archive = join(dir, file)
  const found = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`
  if (found !== integrity)
    throw new ImageError(
      `${name}@${version} from npm is not what package-lock.json says: ${found} instead of ${integrity}`,
    )
  await run('tar', ['-C', dir, '--no-same-owner', '-xzf', archive])
  rmSync(archive)
}

function lockedNode(name: string): Locked {
  const lock = JSON.parse(readFileSync(join(REPOSITORY, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { version?: string; integrity?: string }>
  }
  const { version, integrity } = lock.packages[`node_modules/${name}`] ?? {}
  if (version === undefined || integrity === undefined) throw new ImageError(`package-lock.json does not pin ${name}`)
  return { version, integrity }
}

function versionIn(dir: string): string {
  return (JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as { version: string }).version
}
