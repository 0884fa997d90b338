import { readFileSync } from 'node:fs'
import { hostname, networkInterfaces } from 'node:os'
import { join } from 'node:path'
import type { ConsoleFacts } from '#appliance/console-facts.ts'
import type { Facts } from '#appliance/facts.ts'
import { askControl } from '#io/control-socket.ts'
import { IoFault } from '#io/fault.ts'
import { type KeptBox, keptBox } from '../compose/box.ts'
import { portAddresses } from './box-facts.ts'
import { readFacts } from './fact-files.ts'
import { imageFacts } from './image-facts.ts'

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

/** Everything that is read from files and interfaces; cheap enough for every two seconds. */
export function lookAtBox(p: LookPlaces, status: ConsoleFacts['status'], now: Date): ConsoleFacts {
  const words = (name: string): Facts => readFacts(join(p.run, name))
  const image = imageFacts(p.image)
  const role = roleOf(p)
  const link = role === '' || role === 'bridge' ? 'br0' : 'net0'
  const box = boxOf(p)
  const said = status === null ? '' : status['name']
  return {
    product: 'NTM box',
    identity: {
      name: hostname(),
      version: image?.version ?? '',
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
    cables: (role === '' || role === 'bridge' ? ['net0', 'host0'] : ['net0']).map((name) => [name, carrier(p, name)]),
    status,
    member: typeof said === 'string' && said !== '' ? said : (box?.member?.name ?? ''),
    clock: `${now.toISOString().slice(0, 16).replace('T', ' ')} UTC`,
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

function boxOf({ data }: LookPlaces): KeptBox | null {
  try {
    return keptBox(join(data, 'ntm'))
  } catch {
    // Damaged, or not ours to read: the program says so itself.
    return null
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
