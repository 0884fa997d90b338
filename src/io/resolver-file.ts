import {
  chmodSync,
  chownSync,
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { Ip } from '#ntm-lib/addr/ip.ts'
import { IoFault } from './fault.ts'
import type { Keystore } from './keystore.ts'
import { serversOf, withOurs, withoutOurs } from './resolver-conf.ts'

/** What is on disk while the file is ours: enough to bring the former one back after a crash. */
type Kept = {
  readonly version: 1
  /** The file itself, at the end of all links. */
  readonly target: string
  /** Null: there was none. */
  readonly former: string | null
  readonly ours: string
}

/**
 * The machine's `resolv.conf` with our own server in front. The former text is kept on disk before the file is touched, and comes back with
 * `release`, whoever calls it: this run, or the next one after a crash. What others (a DHCP client) write meanwhile is theirs and stays.
 */
export class ResolverFile {
  readonly #file: string
  readonly #store: Keystore
  readonly #own: Ip
  #look: NodeJS.Timeout | undefined

  constructor(file: string, store: Keystore, own: Ip) {
    this.#file = file
    this.#store = store
    this.#own = own
  }

  /** Puts our server in front; the servers that were there. Throws IoFault; then the file is as it was. */
  take(): readonly Endpoint[] {
    this.release()
    const target = endOf(this.#file)
    const former = read(target)
    const text = withoutOurs(former ?? '', this.#own)
    const ours = withOurs(text, this.#own, `the former text comes back when ntm ends; after a crash: ntm down`)
    const kept: Kept = { version: 1, target, former: former === null ? null : text, ours }
    this.#store.save(KEPT, kept)
    write(target, ours)
    return serversOf(text, this.#own)
  }

  /**
   * Brings the former text back. `restored`; `left`: somebody else changed the file, which now stays as it is but for lines of ours;
   * `nothing`: it was not ours. Throws IoFault; then it can be tried again.
   */
  release(): 'restored' | 'left' | 'nothing' {
    const kept = this.#store.load(KEPT) as Kept | null
    if (kept === null) return 'nothing'
    const now = read(kept.target)
    let how: 'restored' | 'left' = 'left'
    if (now === kept.ours) {
      if (kept.former === null) rmSync(kept.target, { force: true })
      else write(kept.target, kept.former)
      how = 'restored'
    } else if (now === kept.former) how = 'restored'
    else if (now !== null && withoutOurs(now, this.#own) !== now) write(kept.target, withoutOurs(now, this.#own))
    this.#store.remove(KEPT)
    return how
  }

  /** Looks every second whether somebody else wrote the file: then it is taken anew, and `changed` gets the servers that it names now. */
  watch(changed: (servers: readonly Endpoint[]) => void, fail: (why: Error) => void): void {
    this.unwatch()
    // By what is in it: a watch for changes of the file misses the one before its first look.
    this.#look = setInterval(() => {
      try {
        const kept = this.#store.load(KEPT) as Kept | null
        const target = endOf(this.#file)
        const text = read(target)
        // Gone for a moment while it is being replaced: the next look finds the new one.
        if (kept === null || text === null || (target === kept.target && text === kept.ours)) return
        changed(this.take())
      } catch (e) {
        // The disk is full or read-only now.
        this.unwatch()
        fail(e instanceof Error ? e : new Error(String(e)))
      }
    }, LOOK_MS).unref()
  }

  unwatch(): void {
    clearInterval(this.#look)
    this.#look = undefined
  }
}

/** The text of a file; null when it does not exist. */
function read(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch (e) {
    if (e instanceof Error && 'code' in e && e.code === 'ENOENT') return null
    throw new IoFault(`read ${file}`, e)
  }
}

/** Where a path ends when all its links are followed, also when nothing is there. */
function endOf(path: string): string {
  let at = path
  for (let hops = 0; hops < MOST_LINKS; hops++) {
    try {
      at = resolve(dirname(at), readlinkSync(at))
    } catch {
      // No link (EINVAL), or nothing there (ENOENT): this is the end.
      return at
    }
  }
  throw new IoFault(`follow ${path}`, new Error('too many links'))
}

/** Replaces a file atomically, with its mode and owner; in place where it is mounted over, as containers do. */
function write(file: string, text: string): void {
  const fresh = `${file}.ntm-new`
  try {
    const old = stat(file)
    put(fresh, text)
    try {
      chmodSync(fresh, old?.mode ?? 0o644)
      if (old !== null) chownSync(fresh, old.uid, old.gid)
      renameSync(fresh, file)
    } catch (e) {
      // A mount point cannot be replaced; anything else the writing in place will meet again.
      rmSync(fresh, { force: true })
      if (old === null) throw e
      put(file, text)
    }
  } catch (e) {
    throw new IoFault(`write ${file}`, e)
  }
}

function put(file: string, text: string): void {
  const fd = openSync(file, 'w', 0o644)
  try {
    writeSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

function stat(file: string): { mode: number; uid: number; gid: number } | null {
  try {
    const { mode, uid, gid } = statSync(file)
    return { mode: mode & 0o7777, uid, gid }
  } catch {
    // Not there yet.
    return null
  }
}

const KEPT = 'resolver.json'
const LOOK_MS = 1000
const MOST_LINKS = 8
