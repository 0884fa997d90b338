import { randomInt } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ipBatch, namespaces, pidsIn } from './ip.ts'
import { endProcesses } from './process.ts'

/** Who made the lab with this tag. `started` guards against a process id that was given to somebody else since. */
type Owner = { readonly tag: string; readonly pid: number; readonly started: string; readonly dir: string }

/** Name prefix of everything a lab makes. */
export const PREFIX = 'ntm-'

/** Claims a new tag for this process; `dir` is the run directory that goes with it. Tags of living labs never collide. */
export function claim(runRoot: string): { readonly tag: string; readonly dir: string } {
  mkdirSync(OWNERS, { recursive: true })
  for (;;) {
    const tag = `${process.pid.toString(36)}${randomInt(36 ** 2)
      .toString(36)
      .padStart(2, '0')}`
    if (existsSync(ownerFile(tag))) continue
    const dir = join(runRoot, tag)
    const owner: Owner = { tag, pid: process.pid, started: startOf(process.pid) ?? '', dir }
    writeFileSync(ownerFile(tag), JSON.stringify(owner), { flag: 'wx' })
    mkdirSync(dir, { recursive: true })
    return { tag, dir }
  }
}

/** Ends what a lab left: its processes, its namespaces with all links in them, its files. Safe to call twice. */
export function removeTag(tag: string, dir: string): void {
  const names = namespaces().filter((name) => name.startsWith(`${PREFIX}${tag}-`))
  endProcesses(
    names.flatMap((name) => pidsIn(name)),
    0,
  )
  ipBatch(
    null,
    names.map((name) => `netns del ${name}`),
    'go-on',
  )
  for (const name of existsSync(ETC_NETNS) ? readdirSync(ETC_NETNS) : []) {
    if (name.startsWith(`${PREFIX}${tag}-`)) rmSync(join(ETC_NETNS, name), GONE)
  }
  rmSync(dir, GONE)
  rmSync(ownerFile(tag), { force: true })
}

/** Removes what dead labs left behind and returns their tags. Namespaces of living labs, and of strangers, stay. */
export function sweep(): string[] {
  const dead = owners().filter((owner) => startOf(owner.pid) !== owner.started)
  for (const owner of dead) removeTag(owner.tag, owner.dir)
  return dead.map((owner) => owner.tag)
}

function owners(): Owner[] {
  if (!existsSync(OWNERS)) return []
  return readdirSync(OWNERS).flatMap((file) => {
    try {
      return [JSON.parse(readFileSync(join(OWNERS, file), 'utf8')) as Owner]
    } catch {
      // Another lab just removed it, or is still writing it: not ours to judge.
      return []
    }
  })
}

/** When process `pid` started, in kernel ticks since boot; null when there is none (a zombie counts as none). */
function startOf(pid: number): string | null {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
    return fields[0] === 'Z' ? null : (fields[19] ?? null)
  } catch {
    // No such process: that is the answer.
    return null
  }
}

/** Retries, because a process that is just dying may still put a file into a directory that is being emptied. */
const GONE = { recursive: true, force: true, maxRetries: 10, retryDelay: 50 } as const
const OWNERS = '/run/ntm-lab'
const ETC_NETNS = '/etc/netns'
const ownerFile = (tag: string): string => join(OWNERS, `${tag}.json`)
