import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Owner, renameDurably, syncDirectory, writeDurably } from '#io/durable.ts'
import { IoFault } from '#io/fault.ts'
import { mergeTokens } from '#io/store-sqlite-merge.ts'
import { same } from '#ntm-lib/base/bytes.ts'
import { databaseFile, type KeptNetwork, loadNetwork, networkExists } from '../compose/network-dir.ts'
import { secretsOf } from './medium.ts'

/** `/data/ntm`, which is the program's: what a box has become, and a coordinator's network. Nothing here is ever thrown away. */
export class KeptState {
  readonly dir: string
  readonly #data: string
  readonly #owner: Owner | null

  /** Makes the directory. Throws IoFault. */
  constructor(data: string, owner: Owner | null) {
    this.#data = data
    this.dir = join(data, 'ntm')
    this.#owner = owner
    this.#make(this.dir)
  }

  get #staged(): string {
    return join(this.dir, STAGED)
  }

  get hasNetwork(): boolean {
    return networkExists(join(this.dir, NETWORK))
  }

  /** Moves what the box is in its network to `ntm.before-N`: it starts anew. The name of that directory. */
  leave(): string {
    return this.#setAside(
      readdirSync(this.dir).filter((name) => name !== NETWORK && name !== STAGED),
      'box.json',
    )
  }

  /** Copies a network that was carried here to where it can be taken from. What is wrong with it, in words; null when it is good. */
  stage(from: string): string | null {
    rmSync(this.#staged, { recursive: true, force: true })
    this.#make(this.#staged)
    for (const name of secretsOf(from))
      writeDurably(join(this.#staged, name), readFileSync(join(from, name)), 0o600, this.#owner)
    syncDirectory(this.#staged)
    try {
      loadNetwork(this.#staged)
      return null
    } catch (e) {
      // Damaged on its way, or something else of that name.
      rmSync(this.#staged, { recursive: true, force: true })
      return e instanceof Error ? e.message : String(e)
    }
  }

  /**
   * Takes over the staged network. Of the one that is here already, only tokens that were made since, and what `ntm network extend`
   * changed; another one's makes room. `note` is for people. Throws IoFault.
   */
  takeNetwork(): { readonly changed: boolean; readonly note: string } {
    const staged = this.#staged
    const fresh = loadNetwork(staged)
    const place = join(this.dir, NETWORK)
    if (!this.hasNetwork) {
      rmSync(place, { recursive: true, force: true })
      renameDurably(staged, place)
      return { changed: true, note: `network ${fresh.name} (zone ${fresh.zone}) taken over` }
    }
    if (!isSame(loadNetwork(place), fresh)) {
      const aside = this.#setAside([NETWORK], NETWORK)
      renameDurably(staged, place)
      return { changed: true, note: `network ${fresh.name} taken over; the one before is kept as ${aside}` }
    }
    return this.#update(place, staged)
  }

  #update(place: string, staged: string): { readonly changed: boolean; readonly note: string } {
    let tokens = 0
    if (existsSync(databaseFile(staged))) {
      if (existsSync(databaseFile(place))) tokens = mergeTokens(databaseFile(place), databaseFile(staged))
      else copyFileSync(databaseFile(staged), databaseFile(place))
    }
    const [now, offered] = [place, staged].map((dir) => readFileSync(join(dir, FILE), 'utf8'))
    const changed = now !== offered
    if (changed) {
      writeDurably(join(place, `${FILE}.new`), offered ?? '', 0o600, this.#owner)
      renameDurably(join(place, `${FILE}.new`), join(place, FILE))
    }
    rmSync(staged, { recursive: true, force: true })
    return { changed, note: tokens === 0 ? '' : `${tokens} new enrolment tokens taken over` }
  }

  /** `marker` goes last: while it is here, nothing has left yet, and what a power cut interrupted is gone on with. */
  #setAside(names: readonly string[], marker: string): string {
    let n = 1
    while (existsSync(join(this.#data, `ntm.before-${n}`, marker))) n++
    const aside = join(this.#data, `ntm.before-${n}`)
    this.#make(aside)
    for (const name of names.toSorted((a, b) => Number(a === marker) - Number(b === marker)))
      renameDurably(join(this.dir, name), join(aside, name))
    return `ntm.before-${n}`
  }

  #make(dir: string): void {
    try {
      mkdirSync(dir, { recursive: true, mode: 0o700 })
      chmodSync(dir, 0o700)
      if (this.#owner !== null && process.getuid?.() === 0) chownSync(dir, this.#owner.uid, this.#owner.gid)
    } catch (e) {
      // A full or dying disk.
      throw new IoFault(`create ${dir}`, e)
    }
  }
}

/** The same network, and the same coordinator of it. */
const isSame = (a: KeptNetwork, b: KeptNetwork): boolean =>
  same(a.rootPublicKey, b.rootPublicKey) && same(a.coordinator.static.public, b.coordinator.static.public)

const NETWORK = 'network'
const STAGED = 'network.new'
const FILE = 'network.json'
