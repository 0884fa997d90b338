import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** Takes from an unpacked root what no box ever reads: documentation, translations, Perl scripts of maintainers, apt's and dpkg's state. */
export async function prune(root: string): Promise<void> {
  const gone = [...NEVER_READ, ...libraries(root)]
  for (const path of gone) rmSync(join(root, path), { recursive: true, force: true })
}

/** Below the multiarch directory: what only unused programs ask for. */
function libraries(root: string): readonly string[] {
  return readdirSync(join(root, 'usr/lib'))
    .filter((name) => name.endsWith('-linux-gnu'))
    .flatMap((name) =>
      ['perl', 'perl-base', 'gconv', 'audit', 'sasl2', 'security/pam_userdb.so'].map((dir) => `usr/lib/${name}/${dir}`),
    )
}

const NEVER_READ = [
  ...[
    'doc',
    'doc-base',
    'man',
    'info',
    'locale',
    'i18n',
    'lintian',
    'linda',
    'bug',
    'menu',
    'pixmaps',
    'perl',
    'perl5',
    'debconf',
  ].map((dir) => `usr/share/${dir}`),
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
    'systemd/language-fallback-map',
  ].map((dir) => `usr/share/${dir}`),
  ...['var/lib/dpkg', 'var/lib/apt', 'var/lib/pam', 'var/cache', 'var/log', 'boot', 'media', 'srv', 'opt'],
  ...[
    'etc/apt',
    'etc/dpkg',
    'etc/init.d',
    'etc/rc0.d',
    'etc/cron.d',
    'etc/cron.daily',
    'etc/default',
    'etc/update-motd.d',
    'etc/X11',
  ],
  ...[
    'usr/lib/systemd/catalog',
    'lib/systemd/catalog',
    'lib/udev/hwdb.d',
    'usr/lib/udev/hwdb.d',
    'lib/init',
    'etc/ufw',
  ],
  ...['usr/lib/initramfs-tools', 'usr/lib/kernel', 'usr/lib/mime', 'usr/lib/valgrind'],
]
