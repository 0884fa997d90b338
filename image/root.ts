import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { accountFiles } from './accounts.ts'
import { linkApplets } from './applets.ts'
import { type Build, type Debian, imageFacts, type Kernel } from './build.ts'
import { ImageError } from './fault.ts'
import { REPOSITORY } from './layout.ts'
import { lostLibraries } from './libraries.ts'
import { run } from './run.ts'
import { enableUnits } from './units.ts'

/** What goes into the root beside Debian's packages. */
export type RootParts = {
  readonly kernel: Kernel
  /** The stripped Node binary. */
  readonly node: string
  /** The program's tree, for `/usr/lib/ntm/app`. */
  readonly app: string
}

/** Puts the root's tree together in `dir`: Debian's files, what their scripts would have made, ours, and last the overlays of `board/`. */
export async function assembleRoot(build: Build, debian: Debian, parts: RootParts, dir: string): Promise<void> {
  await run('cp', ['-a', '--reflink=auto', debian.root, dir])
  await configureDebian(build, dir)
  await run('cp', ['-a', '--reflink=auto', parts.kernel.modules, join(dir, 'usr/lib/modules')])
  place(parts.node, join(dir, 'usr/bin/node'), 0o755)
  mkdirSync(join(dir, 'usr/lib/ntm'), { recursive: true })
  await run('cp', ['-a', '--reflink=auto', parts.app, join(dir, 'usr/lib/ntm/app')])
  applyBoard(build, dir)
  const lost = await lostLibraries(dir)
  if (lost.length > 0) throw new ImageError(`programs of the image lack libraries:\n${lost.join('\n')}`)
}

/** What both back ends put over a root that has the packages, Node and the program: our tools, the overlays of `board/`, who the image is. */
export function applyBoard(build: Build, dir: string): void {
  write(join(dir, 'usr/bin/ntm'), WRAPPER, 0o755)
  for (const tool of SHELL_TOOLS) place(join(REPOSITORY, 'board/common', tool), join(dir, 'usr/lib/ntm', tool), 0o755)
  for (const overlay of ['common', build.board.name]) copyOverlay(join(REPOSITORY, 'board', overlay, 'overlay'), dir)
  writeIdentity(build, dir)
  place(build.key.certificate, join(dir, 'etc/rauc/keyring.pem'), 0o644)
  const rauc = readFileSync(join(REPOSITORY, 'board/common/rauc/system.conf.in'), 'utf8')
  write(join(dir, 'etc/rauc/system.conf'), rauc.replaceAll('@COMPATIBLE@', build.board.compatible), 0o644)
  enableUnits(dir)
  // systemd takes this file's time for the earliest possible one: a box without a clock starts there.
  write(join(dir, 'usr/lib/clock-epoch'), '', 0o644)
  utimesSync(join(dir, 'usr/lib/clock-epoch'), build.version.epoch, build.version.epoch)
}

/** What maintainer scripts do on a machine that installs packages, as far as the appliance needs it. */
async function configureDebian(build: Build, dir: string): Promise<void> {
  for (const name of EMPTY) mkdirSync(join(dir, name), { recursive: true })
  linkApplets(dir, readFileSync(join(REPOSITORY, 'board/common/applets'), 'utf8'))
  for (const [path, text] of Object.entries(accountFiles()))
    write(join(dir, path), text, path.endsWith('shadow') ? 0o600 : 0o644)
  trustAuthorities(dir)
  for (const [path, text] of Object.entries(FIXED)) write(join(dir, path), text, 0o644)
  for (const [path, to] of Object.entries(LINKS)) link(join(dir, path), to)
  await run('ldconfig', ['-r', dir])
  rmSync(join(dir, 'var/cache/ldconfig'), { recursive: true, force: true })
  for (const name of readdirSync(dir)) {
    // Nothing that Debian leaves at the top belongs to us except the usual directories.
    if (!TOP.has(name)) throw new Error(`unexpected /${name} in the ${build.board.name} root`)
  }
}

/** The bundle that programs with OpenSSL or GnuTLS read: every authority of Debian's list. */
function trustAuthorities(dir: string): void {
  const from = join(dir, 'usr/share/ca-certificates')
  const files = readdirSync(from, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.crt'))
  const all = files.sort().map((name) => `${readFileSync(join(from, name), 'utf8').trim()}\n`)
  write(join(dir, 'etc/ssl/certs/ca-certificates.crt'), all.join(''), 0o644)
  rmSync(from, { recursive: true })
}

/** Who this image is, for people, for RAUC and for the program. */
function writeIdentity(build: Build, dir: string): void {
  const { board, version } = build
  const product = 'NTMobile appliance'
  const release = {
    NAME: product,
    PRETTY_NAME: `${product} ${version.product}`,
    ID: 'ntm',
    ID_LIKE: 'debian',
    VERSION_ID: version.product,
    BUILD_ID: version.commit,
    IMAGE_ID: `ntm-${board.name}`,
    IMAGE_VERSION: version.text,
  }
  const lines = Object.entries(release).map(([key, value]) => `${key}="${value}"\n`)
  rmSync(join(dir, 'etc/os-release'), { force: true })
  write(join(dir, 'usr/lib/os-release'), lines.join(''), 0o644)
  link(join(dir, 'etc/os-release'), '../usr/lib/os-release')
  write(join(dir, 'usr/lib/ntm/image.json'), `${JSON.stringify(imageFacts(build), null, 2)}\n`, 0o644)
}

/** Copies an overlay's tree over the root; a link or file there replaces what Debian put. Absent overlays are empty ones. */
function copyOverlay(from: string, dir: string): void {
  // cp and not cpSync: that one stops at a directory which is there already when links lie below it.
  if (existsSync(from)) execFileSync('cp', ['-a', '--remove-destination', '--no-preserve=ownership', `${from}/.`, dir])
}

function place(from: string, to: string, mode: number): void {
  mkdirSync(dirname(to), { recursive: true })
  rmSync(to, { force: true })
  copyFileSync(from, to)
  chmodSync(to, mode)
}

function write(path: string, text: string, mode: number): void {
  mkdirSync(dirname(path), { recursive: true })
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) rmSync(path)
  writeFileSync(path, text)
  chmodSync(path, mode)
}

function link(path: string, to: string): void {
  mkdirSync(dirname(path), { recursive: true })
  rmSync(path, { recursive: true, force: true })
  symlinkSync(to, path)
}

const SHELL_TOOLS = ['bridge-up.sh']
const WRAPPER = '#!/bin/sh\nexec /usr/bin/node /usr/lib/ntm/app/src/cli/ntm.js "$@"\n'
const EMPTY = [
  'data',
  'boot',
  'dev',
  'proc',
  'sys',
  'run',
  'tmp',
  'mnt',
  'root',
  'home',
  'var/log',
  'var/cache',
  'var/tmp',
  'etc/rauc',
]
const TOP = new Set([
  'bin',
  'sbin',
  'lib',
  'lib64',
  'usr',
  'etc',
  'var',
  ...EMPTY.map((name) => name.split('/')[0] ?? ''),
])
/** An empty machine-id: made anew in RAM at each start unless the boot gives one. A missing one would make every start a "first boot". */
const FIXED = {
  'etc/machine-id': '',
  'etc/nsswitch.conf':
    'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nservices: files\nprotocols: files\n',
  'etc/hosts': '127.0.0.1 localhost\n::1 localhost\n',
  'etc/hostname': 'ntm\n',
  'etc/fstab': '',
  'etc/shells': '/bin/sh\n',
}
const LINKS = {
  'etc/mtab': '../proc/self/mounts',
  'etc/localtime': '../usr/share/zoneinfo/UTC',
  'var/run': '/run',
  'var/lock': '/run/lock',
  'etc/systemd/system/default.target': '/usr/lib/systemd/system/multi-user.target',
}
