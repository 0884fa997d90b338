import { createHash, type Hash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs'
import { join } from 'node:path'
import { withLock } from './lock.ts'

/** Things built once and used again while what they are made of stays the same. Several builds may share one. */
export class Store {
  readonly dir: string

  constructor(dir: string) {
    this.dir = dir
    mkdirSync(dir, { recursive: true })
  }

  /**
   * The directory of `stage` made of `inputs`; `make` fills an empty one when there is none yet. What failed half-way is never seen:
   * the directory gets its name when it is whole.
   */
  async keep(stage: string, inputs: readonly string[], make: (dir: string) => Promise<void>): Promise<string> {
    const key = createHash('sha256').update(JSON.stringify(inputs)).digest('hex').slice(0, 16)
    const kept = join(this.dir, `${stage}-${key}`)
    await withLock(`${kept}.lock`, async () => {
      if (existsSync(kept)) return
      const fresh = `${kept}.new`
      rmSync(fresh, { recursive: true, force: true })
      mkdirSync(fresh)
      await make(fresh)
      renameSync(fresh, kept)
    })
    const now = new Date()
    utimesSync(kept, now, now)
    this.forget(stage)
    return kept
  }

  /** Keeps the three latest of a stage, and whatever was in use within an hour. */
  private forget(stage: string): void {
    const kept = readdirSync(this.dir)
      .filter((name) => name.startsWith(`${stage}-`) && /^[0-9a-f]{16}$/.test(name.slice(stage.length + 1)))
      .map((name) => ({
        path: join(this.dir, name),
        used: statSync(join(this.dir, name), { throwIfNoEntry: false })?.mtimeMs ?? 0,
      }))
      .sort((a, b) => b.used - a.used)
    for (const { path, used } of kept.slice(3)) {
      if (performance.timeOrigin + performance.now() - used > 3_600_000) rmSync(path, { recursive: true, force: true })
    }
  }
}

/** One hash over files and whole trees (names, modes, contents, links): changes when anything in them does. Absent ones count as absent. */
export function fingerprint(paths: readonly string[]): string {
  const hash = createHash('sha256')
  for (const path of paths) add(hash, path, '')
  return hash.digest('hex')
}

function add(hash: Hash, path: string, name: string): void {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat === undefined) {
    hash.update(`absent ${name}\n`)
  } else if (stat.isDirectory()) {
    for (const entry of readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const below = join(path, entry.name)
      if (entry.isSymbolicLink()) hash.update(`link ${name}/${entry.name} ${readlinkSync(below)}\n`)
      else add(hash, below, `${name}/${entry.name}`)
    }
  } else {
    hash.update(`file ${name} ${stat.mode & 0o777} ${stat.size}\n`).update(readFileSync(path))
  }
}
