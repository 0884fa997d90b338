import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export const ROOT = join(import.meta.dirname, '../..')
export const EXTERNAL = join(ROOT, 'buildroot-external')
/** The registry of these tests: nobody is asked for it. */
export const REGISTRY = 'https://registry.invalid'

/** Runs a command to its end. An Error with all it said unless it ends well. */
export function output(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    env: { ...process.env, MAKEFLAGS: undefined, MAKELEVEL: undefined, LC_ALL: 'C', ...env },
  })
  if (error !== undefined || status !== 0)
    throw new Error(`${command} ${args.join(' ')}: ${error ?? status}\n${stdout}${stderr}`)
  return stdout
}

/** Runs test/image-static/buildroot.mk over the external tree. `arch` is the box's. */
export function miniBuildroot(goal: 'record' | 'build', arch: 'x86_64' | 'aarch64', scratch: string): string {
  return output('make', [
    '-s',
    '-f',
    join(import.meta.dirname, 'buildroot.mk'),
    goal,
    `BR2_EXTERNAL_NTM_PATH=${EXTERNAL}`,
    `W=${scratch}`,
    `HOSTARCH=${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}`,
    `BR2_${arch}=y`,
    'BR2_PACKAGE_NTM_NODE=y',
    'BR2_PACKAGE_NTM_DEPS=y',
    `BR2_NTM_NPM_REGISTRY="${REGISTRY}"`,
  ])
}

/** What the makefiles ask for: package, then field, then value. */
export function record(arch: 'x86_64' | 'aarch64'): ReadonlyMap<string, Readonly<Record<string, string>>> {
  const found = new Map<string, Record<string, string>>()
  for (const line of miniBuildroot('record', arch, '/nowhere').trim().split('\n')) {
    const [name = '', field = '', ...value] = line.split('|')
    found.set(name, { ...found.get(name), [field]: value.join('|') })
  }
  return found
}

/** A file of the repository. */
export function text(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}
