/** A user of the image, with a group of the same name and number. Nobody has a password. */
type Account = {
  readonly name: string
  readonly id: number
  readonly about: string
  readonly home: string
  readonly shell?: string
}

/** The account files of the image, by path. `*` in shadow: no password can ever match, yet a key may open the door to root where SSH is on. */
export function accountFiles(): Readonly<Record<string, string>> {
  const lines = (form: (account: Account) => string) => ACCOUNTS.map((account) => `${form(account)}\n`).join('')
  const groups = GROUPS.map(([name, id]) => `${name}:x:${id}:\n`).join('')
  return {
    'etc/passwd': lines(
      ({ name, id, about, home, shell }) => `${name}:x:${id}:${id}:${about}:${home}:${shell ?? '/usr/sbin/nologin'}`,
    ),
    'etc/group': `${lines(({ name, id }) => `${name === 'nobody' ? 'nogroup' : name}:x:${id}:`)}${groups}`,
    // The third field is the day of the last change; a fixed one, or the account would count as expired.
    'etc/shadow': lines(({ name }) => `${name}:*:19000:0:99999:7:::`),
    'etc/gshadow': '',
  }
}

const ACCOUNTS: readonly Account[] = [
  { name: 'root', id: 0, about: 'root', home: '/root', shell: '/bin/sh' },
  { name: 'daemon', id: 1, about: 'daemon', home: '/usr/sbin' },
  { name: 'ntm', id: 900, about: 'NTMobile', home: '/var/lib/ntm' },
  { name: 'messagebus', id: 901, about: 'D-Bus', home: '/nonexistent' },
  { name: 'sshd', id: 902, about: 'SSH before the key', home: '/run/sshd' },
  { name: 'systemd-network', id: 903, about: 'network configuration', home: '/' },
  { name: 'systemd-timesync', id: 904, about: 'time', home: '/' },
  { name: 'systemd-journal', id: 905, about: 'journal', home: '/' },
  { name: 'nobody', id: 65534, about: 'nobody', home: '/nonexistent' },
]

/** Groups that udev's rules and systemd's units name; Debian's numbers. */
const GROUPS: readonly (readonly [string, number])[] = [
  ['adm', 4],
  ['tty', 5],
  ['disk', 6],
  ['lp', 7],
  ['kmem', 15],
  ['dialout', 20],
  ['cdrom', 24],
  ['tape', 26],
  ['audio', 29],
  ['utmp', 43],
  ['video', 44],
  ['users', 100],
  ['input', 101],
  ['sgx', 102],
  ['kvm', 103],
  ['render', 104],
]
