import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ImportMachine, type ImportPlaces, type ImportResult, importConfig } from '#cli/appliance/import.ts'
import { openBox } from '#cli/compose/box.ts'
import { nodeCrypto } from '#io/crypto-node.ts'
import { parseLink } from '#ntm-lib/addr/link.ts'
import { makeGrant, makeMembership, makeRoot, type Root } from '#ntm-lib/crypto/identity.ts'
import { formatToken } from '#ntm-lib/crypto/token.ts'
import { ROLE_BRIDGE, ROLE_NODE } from '#ntm-lib/wire/certificate.ts'
import { endpointOf } from './route.ts'

export const BRIDGE = ROLE_NODE | ROLE_BRIDGE
const NOW = Date.UTC(2026, 0, 1)
/** In memory where there is such a place: hundreds of waits for a disk are nobody's gain. */
const PLACE = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** A token as `ntm token create` prints it; `id` makes it another one. */
export const tokenOf = (root: Root, roles: number, id = 1): string =>
  formatToken(nodeCrypto, {
    rootPublicKey: root.public,
    coordinatorStatic: nodeCrypto.x25519Public(new Uint8Array(32).fill(9)),
    endpoints: [endpointOf('192.0.2.1:4330')],
    id: new Uint8Array(8).fill(id),
    seed: new Uint8Array(32).fill(id),
    roles,
    grant: null,
  })

export const newRoot = (): Root => makeRoot(nodeCrypto)

export const MACHINE: ImportMachine = {
  ports: [...['52:54:00:00:00:01', '52:54:00:00:00:02'].flatMap((text) => parseLink(text) ?? [])],
  version: '0.1.0',
  owner: null,
  floor: 0,
}

/** A box's directories, as its units see them: two media, the data partition, `/run/ntm-box`. */
export class BoxMedia {
  readonly dir: string
  readonly places: ImportPlaces

  constructor(dir = mkdtempSync(join(PLACE, 'ntm-import-'))) {
    this.dir = dir
    this.places = {
      boot: this.#made('boot'),
      stick: this.#made('stick'),
      data: this.#made('data'),
      run: this.#made('run'),
    }
  }

  write(file: string, text: string): void {
    writeFileSync(join(this.dir, file), text)
  }

  /** Null when it is not there. */
  read(file: string): string | null {
    return existsSync(join(this.dir, file)) ? readFileSync(join(this.dir, file), 'utf8') : null
  }

  remove(file: string): void {
    rmSync(join(this.dir, file), { recursive: true, force: true })
  }

  list(dir: string): string[] {
    return readdirSync(join(this.dir, dir)).sort()
  }

  take(over: Partial<ImportPlaces> = {}, machine: Partial<ImportMachine> = {}): ImportResult {
    return importConfig({ ...this.places, ...over }, { ...MACHINE, ...machine })
  }

  /** What `/run/ntm-box/config` says. */
  get said(): Record<string, string> {
    const lines = (this.read('run/config') ?? '').trim().split('\n')
    return Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    )
  }

  /** Makes the box a member, as the program does when its coordinator has answered. */
  enrol(root: Root, roles: number, name: string): void {
    const span = { issued: NOW / 1000, expires: NOW / 1000 + 86_400 }
    const grant = makeGrant(nodeCrypto, root, { roles, name, prefixes: [], ...span })
    const state = join(this.dir, 'data/ntm')
    const box = openBox({ file: 'x', state, network: { token: tokenOf(root, roles) } }, NOW)
    const made = makeMembership(nodeCrypto, grant, { staticKey: box.identity.static.public, roles, name, ...span })
    if (!made.ok) throw new Error('no membership')
    box.saveChain(made.chain)
  }

  destroy(): void {
    rmSync(this.dir, { recursive: true, force: true })
  }

  #made(name: string): string {
    const dir = join(this.dir, name)
    mkdirSync(dir, { recursive: true })
    return dir
  }
}
