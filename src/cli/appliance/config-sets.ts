import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
} from 'node:fs'
import { join } from 'node:path'
import { linkDurably, type Owner, syncDirectory, writeDurably } from '#io/durable.ts'
import { IoFault } from '#io/fault.ts'

/** A configuration as a whole: what was written, the token that came with it, what other programs read of it. */
export type ConfigSet = {
  readonly text: string
  readonly token: string | null
  readonly system: ReadonlyMap<string, string>
}

/**
 * `/data/config`: whole configurations in directories `set-N`, and one symbolic link, `current`, that says which is in force. Everything is found
 * through it (`ntm.toml`, `token`, `system`), so a power cut at any moment leaves all of the old one or all of the new one.
 */
export class ConfigSets {
  readonly #dir: string
  readonly #owner: Owner | null

  /** `owner`: of the program that reads them. Makes the directory. Throws IoFault. */
  constructor(dir: string, owner: Owner | null) {
    this.#dir = dir
    this.#owner = owner
    this.#make(dir)
  }

  /** Null when there is none. */
  inForce(): (ConfigSet & { readonly since: Date }) | null {
    const file = join(this.#dir, CONFIG)
    if (!existsSync(file)) return null
    const text = readFileSync(file, 'utf8')
    const token = readIf(join(this.#dir, TOKEN))
    const system = join(this.#dir, SYSTEM)
    const names = existsSync(system) ? readdirSync(system) : []
    return {
      text,
      token,
      system: new Map(names.map((name) => [name, readFileSync(join(system, name), 'utf8')])),
      since: statSync(file).mtime,
    }
  }

  /** Puts a configuration in force. Throws IoFault; the one before then stays in force. */
  put({ text, token, system }: ConfigSet): void {
    const before = this.#current()
    const name = `set-${this.#newest() + 1}`
    const dir = join(this.#dir, name)
    rmSync(dir, { recursive: true, force: true })
    this.#make(dir)
    this.#make(join(dir, SYSTEM))
    for (const [file, content] of system) this.#write(join(dir, SYSTEM, file), content)
    this.#write(join(dir, CONFIG), text)
    if (token !== null) this.#write(join(dir, TOKEN), `${token}\n`)
    syncDirectory(join(dir, SYSTEM))
    syncDirectory(dir)
    syncDirectory(this.#dir)
    // Dangling before the first configuration: nobody finds anything there.
    for (const file of [CONFIG, TOKEN, SYSTEM]) this.#link(file, `${CURRENT}/${file}`)
    linkDurably(join(this.#dir, CURRENT), name)
    if (before !== null) this.#link(`${CONFIG}.before`, `${before}/${CONFIG}`)
    this.#forget([name, before])
  }

  /** The set in force; null when there is none, or it was put there by hand. */
  #current(): string | null {
    try {
      return readlinkSync(join(this.#dir, CURRENT))
    } catch {
      // No configuration yet.
      return null
    }
  }

  #newest(): number {
    return Math.max(0, ...this.#sets().map((name) => Number(name.slice(4))))
  }

  #sets(): readonly string[] {
    return readdirSync(this.#dir).filter((name) => /^set-\d{1,9}$/.test(name))
  }

  /** What a power cut left half made, and what is older than the one before. */
  #forget(kept: readonly (string | null)[]): void {
    for (const name of this.#sets())
      if (!kept.includes(name)) rmSync(join(this.#dir, name), { recursive: true, force: true })
  }

  #link(name: string, target: string): void {
    const file = join(this.#dir, name)
    const is = lstatSync(file, { throwIfNoEntry: false })
    if (is?.isSymbolicLink() === true && readlinkSync(file) === target) return
    if (is?.isDirectory() === true) rmSync(file, { recursive: true, force: true })
    linkDurably(file, target)
  }

  #make(dir: string): void {
    try {
      mkdirSync(dir, { recursive: true, mode: 0o750 })
      chmodSync(dir, 0o755)
      if (this.#owner !== null && process.getuid?.() === 0) chownSync(dir, 0, this.#owner.gid)
    } catch (e) {
      // A full or dying disk.
      throw new IoFault(`create ${dir}`, e)
    }
  }

  #write(file: string, text: string): void {
    const open = file.includes(`/${SYSTEM}/`)
    writeDurably(file, text, open ? 0o644 : 0o640, this.#owner === null ? null : { uid: 0, gid: this.#owner.gid })
  }
}

const readIf = (file: string): string | null => (existsSync(file) ? readFileSync(file, 'utf8').trim() : null)

const CURRENT = 'current'
const CONFIG = 'ntm.toml'
const TOKEN = 'token'
const SYSTEM = 'system'
