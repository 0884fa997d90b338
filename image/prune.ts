import { lstatSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ImageError } from './fault.ts'
import { run } from './run.ts'

/**
 * Takes from an unpacked root (`usr` merged) what no box needs: whole packages that are there only because others' maintainer scripts ask for
 * them, documentation but for the licences, translations, package managers' state. `lists` has a list of files for each package. Answers with the
 * packages taken out. ImageError when a program that stays has lost a library.
 */
export async function prune(root: string, lists: string): Promise<readonly string[]> {
  const gone = readdirSync(lists).filter((name) => UNUSED_PACKAGES.some((unused) => unused.test(name)))
  for (const name of gone) removeFiles(root, readFileSync(join(lists, name), 'utf8').split('\n'))
  for (const path of [...NEVER_READ, ...belowMultiarch(root)])
    rmSync(join(root, path), { recursive: true, force: true })
  onlyLicences(join(root, 'usr/share/doc'))
  const lost = await lostLibraries(root)
  if (lost.length > 0) throw new ImageError(`image/prune.ts takes too much:\n${lost.join('\n')}`)
  return gone
}

function removeFiles(root: string, paths: readonly string[]): void {
  for (const path of paths) {
    if (path === '' || path.endsWith('/')) continue
    const file = join(root, path.replace(/^\.\/(bin|sbin|lib|lib64)\//, 'usr/$1/'))
    if (lstatSync(file, { throwIfNoEntry: false })?.isDirectory() === false) rmSync(file)
  }
}

/** Each package's copyright file stays: most licences ask to go with the program. */
function onlyLicences(doc: string): void {
  for (const name of readdirSync(doc)) {
    const dir = join(doc, name)
    if (!lstatSync(dir).isDirectory()) continue
    for (const file of readdirSync(dir))
      if (file !== 'copyright') rmSync(join(dir, file), { recursive: true, force: true })
    if (readdirSync(dir).length === 0) rmSync(dir, { recursive: true })
  }
}

/** Programs and libraries whose libraries are no longer there. */
async function lostLibraries(root: string): Promise<readonly string[]> {
  const files = ['usr/bin', 'usr/sbin', 'usr/lib', 'usr/libexec'].flatMap((dir) =>
    readdirSync(join(root, dir), { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile() || entry.isSymbolicLink())
      .map((entry) => ({ name: entry.name, path: join(entry.parentPath, entry.name), regular: entry.isFile() })),
  )
  const there = new Set(files.map(({ name }) => name))
  const programs = files.filter(({ path, regular }) => regular && isElf(path)).map(({ path }) => path)
  const told = await run('readelf', ['--dynamic', '--wide', ...programs])
  let file = ''
  const lost: string[] = []
  for (const line of told.split('\n')) {
    const [, name] = /^File: (.*)/.exec(line) ?? []
    const [, library] = /\(NEEDED\).*\[(.*)\]/.exec(line) ?? []
    if (name !== undefined) file = name.slice(root.length)
    if (library !== undefined && !there.has(library)) lost.push(`${file} needs ${library}`)
  }
  return lost
}

function isElf(path: string): boolean {
  return readFileSync(path).subarray(0, 4).equals(ELF)
}

/** Below the multiarch directory: what only unused programs ask for. */
function belowMultiarch(root: string): readonly string[] {
  return readdirSync(join(root, 'usr/lib'))
    .filter((name) => name.endsWith('-linux-gnu'))
    .flatMap((name) =>
      ['perl', 'perl-base', 'gconv', 'audit', 'sasl2', 'security/pam_userdb.so', 'tc/q_atm.so'].map(
        (dir) => `usr/lib/${name}/${dir}`,
      ),
    )
}

const ELF = Buffer.from([0x7f, 0x45, 0x4c, 0x46])

/** Wanted by scripts that never run here, by Perl, or by tools that are taken out below. */
const UNUSED_PACKAGES = [
  /^(lib)?perl/,
  /^lib.*-perl$/,
  /^libgdbm/,
  /^(usrmerge|ucf|debconf|dpkg|tar|adduser|passwd|init-system-helpers|sensible-utils|lsb-base|sysvinit-utils|runit-helper)$/,
  /^(libdb5\.3|libsemanage.*|libsepol2|gcc-\d+-base|dbus-session-bus-common|readline-common|libpam-runtime)$/,
]

const NEVER_READ = [
  ...['doc-base', 'man', 'info', 'locale', 'i18n', 'lintian', 'linda', 'bug', 'menu', 'pixmaps', 'perl', 'perl5'].map(
    (dir) => `usr/share/${dir}`,
  ),
  ...[
    'bash-completion',
    'zsh',
    'fish',
    'gdb',
    'glib-2.0',
    'polkit-1',
    'initramfs-tools',
    'apport',
    'readline',
    'debconf',
  ].map((dir) => `usr/share/${dir}`),
  ...['var/lib/dpkg', 'var/lib/apt', 'var/lib/pam', 'var/cache', 'var/log', 'boot', 'media', 'srv', 'opt'],
  ...['apt', 'dpkg', 'init.d', 'rc0.d', 'cron.d', 'cron.daily', 'default', 'update-motd.d', 'X11', 'ufw'].map(
    (dir) => `etc/${dir}`,
  ),
  ...['systemd/catalog', 'udev/hwdb.d', 'init', 'initramfs-tools', 'kernel', 'mime', 'valgrind'].map(
    (dir) => `usr/lib/${dir}`,
  ),
  // The box lets in, and goes nowhere itself; the server's helpers that stay are sftp-server and the session.
  ...['ssh', 'slogin', 'ssh-add', 'ssh-agent', 'ssh-argv0', 'ssh-copy-id', 'ssh-keyscan', 'sftp'].map(
    (name) => `usr/bin/${name}`,
  ),
  ...['ssh-keysign', 'ssh-pkcs11-helper', 'ssh-sk-helper'].map((name) => `usr/lib/openssh/${name}`),
  'usr/sbin/arpd',
]
