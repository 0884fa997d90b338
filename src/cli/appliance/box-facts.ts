import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Owner } from '#io/durable.ts'
import { type LinkAddr, parseLink } from '#ntm-lib/addr/link.ts'

/** Link addresses of the machine's Ethernet ports, in the order of their names; not those of devices that programs made. */
export function portAddresses(sys = '/sys/class/net'): readonly LinkAddr[] {
  try {
    const links = readdirSync(sys)
      .sort()
      .filter((name) => existsSync(join(sys, name, 'device')))
    const all = links.flatMap((name) => parseLink(readFileSync(join(sys, name, 'address'), 'utf8').trim()) ?? [])
    return [...new Set(all)].filter((link) => link !== 0)
  } catch {
    // One left while we looked.
    return []
  }
}

/** Who the program runs as on the appliance; null where there is no such user. */
export function programOwner(passwd = '/etc/passwd'): Owner | null {
  try {
    const found = /^ntm:[^:]*:(\d+):(\d+):/m.exec(readFileSync(passwd, 'utf8'))
    return found === null ? null : { uid: Number(found[1]), gid: Number(found[2]) }
  } catch {
    // A root file system that is being built.
    return null
  }
}
