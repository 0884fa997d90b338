import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Owner } from '#io/durable.ts'
import { IoFault } from '#io/fault.ts'
import { type LinkAddr, parseLink } from '#ntm-lib/addr/link.ts'

/** One short text of the box's state for people and tests, `/run/ntm-box/NAME`: `key=value` lines. */
export type Words = Readonly<Record<string, string>>

/** Empty when nobody has said anything yet. */
export function readWords(file: string): Words {
  try {
    const pairs = readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => /^([a-z0-9_-]+)=(.*)$/.exec(line))
    return Object.fromEntries(pairs.flatMap((found) => (found === null ? [] : [[found[1] ?? '', found[2] ?? '']])))
  } catch {
    // Not said yet, or this is no appliance.
    return {}
  }
}

/** Throws IoFault. */
export function writeWords(file: string, words: Words): void {
  const text = Object.entries(words).map(([key, value]) => `${key}=${value.replaceAll(/\s+/g, ' ').trim()}\n`)
  try {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(`${file}.new`, text.join(''))
    renameSync(`${file}.new`, file)
  } catch (e) {
    throw new IoFault(`write ${file}`, e)
  }
}

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
