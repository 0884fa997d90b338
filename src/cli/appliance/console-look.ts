import { readFileSync, statSync } from 'node:fs'
import { hostname, networkInterfaces } from 'node:os'
import { join } from 'node:path'
import type { ConsoleFacts } from '#appliance/console-facts.ts'
import type { Facts } from '#appliance/facts.ts'
import { askControl } from '#io/control-socket.ts'
import { IoFault } from '#io/fault.ts'
import { type KeptBox, keptBox } from '../compose/box.ts'
import { portAddresses } from './box-facts.ts'
import { readFacts } from './fact-files.ts'
import { type ImageFacts, imageFacts } from './image-facts.ts'

export type LookPlaces = {
  /** `/run/ntm-box`, `/run/ntm`, `/data`, `/sys/class/net`. */
  readonly run: string
  readonly sockets: string
  readonly data: string
  readonly sys: string
  readonly image: string
}

export const PLACES: LookPlaces = {
  run: '/run/ntm-box',
  sockets: '/run/ntm',
  data: '/data',
  sys: '/sys/class/net',
  image: '/usr/lib/ntm/image.json',
}

/** The running program's status; null while none answers. */
export async function lookAtProgram(p: LookPlaces, role: string): Promise<ConsoleFacts['status']> {
  if (role === '') return null
  try {
    const { answer, end } = await askControl(join(p.sockets, `${role}.sock`), { ask: 'status' })
    end()
    return typeof answer === 'object' && answer !== null && !('error' in answer)
      ? (answer as ConsoleFacts['status'])
      : null
  } catch (e) {
    // Not started yet, starting, hung or not configured.
    if (e instanceof IoFault) return null
    throw e
  }
}

/** Looks at what is in files and interfaces, every two seconds for years: what costs something is worked out again only when its file is another one. */
export class BoxLook {
  readonly #p: LookPlaces
  readonly #image: ImageFacts | null
  #boxFile = ''
  #box: KeptBox | null = null

  constructor(places: LookPlaces) {
    this.#p = places
    this.#image = imageFacts(places.image)
  }

  look(status: ConsoleFacts['status'], now: Date): ConsoleFacts {
    const p = this.#p
    const words = (name: string): Facts => readFacts(join(p.run, name))
    const role = roleOf(p)
    const isBridge = role === '' || role === 'bridge'
    const link = isBridge ? 'br0' : 'net0'
    const box = this.#kept()
    const said = status === null ? '' : status['name']
    return {
      product: 'NTM box',
      identity: {
        name: hostname(),
        version: this.#image?.version ?? '',
        links: portAddresses(p.sys),
        node: box?.node ?? null,
        publicKey: box?.publicKey ?? null,
      },
      slot: words('slot'),
      data: words('data'),
      wire: words('wire'),
      config: words('config'),
      health: words('health'),
      update: words('update'),
      role,
      link,
      addresses: addressesOf(link),
      cables: (isBridge ? ['net0', 'host0'] : ['net0']).map((name) => [name, carrier(p, name)]),
      status,
      member: typeof said === 'string' && said !== '' ? said : (box?.member?.name ?? ''),
      clock: `${now.toISOString().slice(0, 16).replace('T', ' ')} UTC`,
    }
  }

  #kept(): KeptBox | null {
    const state = join(this.#p.data, 'ntm')
    const is = statSync(join(state, 'box.json'), { throwIfNoEntry: false })
    const file = is === undefined ? '' : `${is.ino} ${is.mtimeMs} ${is.size}`
    if (file === this.#boxFile) return this.#box
    this.#boxFile = file
    try {
      this.#box = keptBox(state)
    } catch {
      // Damaged, or not ours to read: the program says so itself.
      this.#box = null
    }
    return this.#box
  }
}

/** Of the configuration in force; empty for none. */
export function roleOf({ data }: LookPlaces): string {
  try {
    return readFileSync(join(data, 'config/system/role'), 'utf8').trim()
  } catch {
    // Not configured.
    return ''
  }
}

/** Without the link-local ones, which are of no use to anybody further away. */
const addressesOf = (link: string): readonly string[] =>
  (networkInterfaces()[link] ?? []).flatMap((a) => (a.address.startsWith('fe80:') ? [] : [a.cidr ?? a.address]))

function carrier({ sys }: LookPlaces, name: string): boolean | null {
  try {
    return readFileSync(join(sys, name, 'carrier'), 'utf8').trim() === '1'
  } catch (e) {
    // A port that is down refuses the question.
    return e instanceof Error && 'code' in e && e.code === 'ENOENT' ? null : false
  }
}
