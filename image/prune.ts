import { lstatSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './run.ts'

/**
 * Takes from an unpacked root (`usr` merged) what no box needs: whole packages that are there only because others' maintainer scripts ask for
 * them, documentation but for the licences, translations, package managers' state. `lists` has a list of files for each package. Answers with the
 * packages taken out.
 */
export async function prune(root: string, lists: string): Promise<readonly string[]> {
  const gone = readdirSync(lists).filter((name) => UNUSED_PACKAGES.some((unused) => unused.test(name)))
  for (const name of gone) removeFiles(root, readFileSync(join(lists, name), 'utf8').split('\n'))
  for (const path of [...NEVER_READ, ...belowMultiarch(root)])
    rmSync(join(root, path), { recursive: true, force: true })
  onlyLicences(join(root, 'usr/share/doc'))
  // Nobody on the box becomes somebody else by running a program.
  await run('find', [root, '-type', 'f', '-perm', '/6000', '-exec', 'chmod', 'ug-s', '{}', '+'])
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
