import { execFileSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '#lab/netns.ts'

/** A peer's program, unpacked beside the machine's own software: nothing of it is installed. */
export type Fetched = {
  readonly version: string
  /** The command and its first arguments, to be followed by the program's own. */
  command(program: string): readonly [string, ...string[]]
}
/** Why a peer cannot be had here, as one sentence for its row. */
export type Missing = { readonly absent: string }

/**
 * The newest Debian package of `name` that this machine's own Debian mirror has (unstable first, then what the machine's release has), with the
 * libraries it needs, unpacked below `.run/bench`. Fetched once; apt keeps lists and status of its own for it, so that the machine's are untouched.
 */
export function fetchDebian(name: string): Fetched | Missing {
  const root = join(CACHE, 'root', name)
  try {
    if (!existsSync(join(root, STAMP))) unpack(name, root)
  } catch (fault) {
    return { absent: `${name} could not be fetched: ${firstLine(fault)}` }
  }
  const version = readFileSync(join(root, STAMP), 'utf8').trim()
  return { version, command: (program) => runnable(root, program) }
}

function unpack(name: string, root: string): void {
  const apt = aptFor()
  const args = [...apt, '--download-only', '--no-install-recommends', '-y', 'install', name]
  const into = ['-o', `Dir::Cache::archives=${join(CACHE, 'debs', name)}/`]
  mkdirSync(join(CACHE, 'debs', name, 'partial'), { recursive: true })
  run('apt-get', [...into, ...args])
  const debs = readdirSync(join(CACHE, 'debs', name)).filter((file) => file.endsWith('.deb'))
  mkdirSync(root, { recursive: true })
  for (const deb of debs) run('dpkg-deb', ['-x', join(CACHE, 'debs', name, deb), root])
  const own = debs.find((deb) => deb.startsWith(`${name}_`))
  if (own === undefined) throw new Error('apt fetched other packages only')
  writeFileSync(join(root, STAMP), `${decodeURIComponent(own.split('_')[1] ?? '')}\n`)
}

/** Options for an apt with lists of its own, updated once per cache. */
function aptFor(): readonly string[] {
  const dir = join(CACHE, 'apt')
  const options = Object.entries({
    'Dir::Etc::sourcelist': join(dir, 'sources.list'),
    'Dir::Etc::sourceparts': join(dir, 'none'),
    'Dir::State': dir,
    'Dir::State::status': join(dir, 'status'),
    'Dir::Cache': join(dir, 'cache'),
    'Acquire::Languages': 'none',
    'Acquire::Retries': '3',
    'APT::Sandbox::User': 'root',
  }).flatMap(([key, value]) => ['-o', `${key}=${value}`])
  const all = ['-q', ...options]
  if (existsSync(join(dir, 'status'))) return all
  for (const part of ['none', 'lists/partial', 'cache/archives/partial'])
    mkdirSync(join(dir, part), { recursive: true })
  writeFileSync(join(dir, 'sources.list'), sources())
  // An empty status: nothing counts as installed, so that every library comes along, and in the version that fits.
  run('apt-get', [...all, '-o', 'Dir::State::status=/dev/null', 'update'])
  writeFileSync(join(dir, 'status'), '')
  return all
}

/** Where this machine gets Debian from, asked for unstable and for its own release; on relatives of Debian, their own release only. */
function sources(): string {
  const targets = run('apt-get', [
    'indextargets',
    '--format',
    '$(REPO_URI) $(RELEASE) $(COMPONENT)',
    'Created-By: Packages',
  ])
  const mine = [...new Set(targets.split('\n'))].map((line) => line.split(' ')).filter(([, , part]) => part === 'main')
  const keyring = existsSync(KEYRING) ? `[signed-by=${KEYRING}] ` : ''
  return mine
    .filter(([uri]) => /\/(debian|ubuntu)\/?$/.test(uri ?? ''))
    .flatMap(([uri, release]) => [
      ...(uri?.includes('debian') ? [`deb ${keyring}${uri} unstable main`] : []),
      `deb ${keyring}${uri} ${release} main`,
    ])
    .filter((line, i, lines) => lines.indexOf(line) === i)
    .map((line) => `${line}\n`)
    .join('')
}

/** A program of a newer release wants that release's loader and libraries, not the machine's. */
function runnable(root: string, program: string): readonly [string, ...string[]] {
  const dirs = ['usr/bin', 'usr/sbin', 'bin', 'sbin'].map((dir) => join(root, dir, program))
  const path = dirs.find((file) => existsSync(file)) ?? program
  const loader = [
    'usr/lib64/ld-linux-x86-64.so.2',
    'usr/lib/ld-linux-aarch64.so.1',
    'lib64/ld-linux-x86-64.so.2',
    'lib/ld-linux-aarch64.so.1',
  ]
    .map((file) => join(root, file))
    .find((file) => existsSync(file))
  if (loader === undefined || !isElf(path)) return [path]
  const libraries = ['x86_64-linux-gnu', 'aarch64-linux-gnu'].flatMap((dir) => [
    join(root, 'usr/lib', dir),
    join(root, 'lib', dir),
  ])
  return [loader, '--library-path', libraries.filter((dir) => existsSync(dir)).join(':'), path]
}

function isElf(path: string): boolean {
  const first = Buffer.alloc(4)
  const fd = openSync(path, 'r')
  readSync(fd, first, 0, 4, 0)
  closeSync(fd)
  return first.toString('latin1') === '\x7fELF'
}

function run(command: string, args: readonly string[]): string {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' }
  return execFileSync(command, args, { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'pipe'] })
}

const firstLine = (fault: unknown): string => {
  const { stderr } = fault as { stderr?: string }
  const text = stderr !== undefined && stderr !== '' ? stderr : String(fault instanceof Error ? fault.message : fault)
  return text.split('\n').find((line) => line.startsWith('E:')) ?? text.split('\n')[0] ?? ''
}

const CACHE = join(ROOT, '.run/bench')
const STAMP = '.fetched'
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
