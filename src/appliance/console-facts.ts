import { type BoxIdentity, boxText } from './box-text.ts'
import type { Facts } from './facts.ts'
import { QR_MOST_BYTES } from './qr-blocks.ts'
import type { Fact, Screen } from './screen.ts'

/** What the console is made from; whatever is missing is simply not shown. */
export type ConsoleFacts = {
  readonly product: string
  readonly identity: BoxIdentity
  /** Files of `/run/ntm-box`. */
  readonly slot: Facts
  readonly data: Facts
  readonly wire: Facts
  readonly config: Facts
  readonly health: Facts
  readonly update: Facts
  /** The role in force; empty for none. */
  readonly role: string
  /** The interface that carries the box's addresses, and these. */
  readonly link: string
  readonly addresses: readonly string[]
  /** Ports by name: whether there is a cable with something at its end; null while there is no such port. */
  readonly cables: readonly (readonly [name: string, carrier: boolean | null])[]
  /** What `ntm status` says of the program, as JSON; null while it does not answer. */
  readonly status: Readonly<Record<string, unknown>> | null
  /** Its name in its network; empty until it is a member. */
  readonly member: string
  /** Date and time as people write them; `isKept`: somebody keeps that clock. */
  readonly clock: string
}

/** What an operator in front of the box wants to know, most pressing first. */
export function consoleScreen(f: ConsoleFacts): Screen {
  const joins = f.member === '' && f.role !== 'coordinator'
  const version = f.identity.version === '' ? '' : ` ${f.identity.version}`
  return {
    title: `${f.product}${version}`,
    facts: [
      { about: 'box', says: [f.identity.name, f.role === '' ? 'no role yet' : f.role] },
      ...addressFact(f),
      ...wireFacts(f),
      ...networkFacts(f),
      ...configFacts(f),
      ...dataFacts(f),
      ...slotFacts(f),
      { about: 'clock', says: [f.clock] },
    ],
    qr: joins ? boxText(f.identity, QR_MOST_BYTES) : null,
    hint: joins ? 'Not in a network yet. Put ntm.toml and token on a stick named NTMCONFIG.' : '',
  }
}

function addressFact({ link, addresses }: ConsoleFacts): readonly Fact[] {
  return [
    {
      about: 'address',
      says: addresses.length === 0 ? ['none yet', `on ${link}`] : addresses,
      isTrouble: addresses.length === 0,
    },
  ]
}

function wireFacts({ wire, cables }: ConsoleFacts): readonly Fact[] {
  const { state = '', why = '' } = wire
  const ports = cables.map(([name, carrier]) => `${name} ${carrier === null ? 'missing' : carrier ? 'up' : 'no cable'}`)
  const says = [state === 'forwarding' ? 'forwards frames' : state.replaceAll('-', ' '), ...ports, why].filter(
    (word) => word !== '',
  )
  const isTrouble = (state !== '' && state !== 'forwarding' && state !== 'off') || cables.some(([, c]) => c !== true)
  return says.length === 0 ? [] : [{ about: state === 'off' || state === '' ? 'ports' : 'wire', says, isTrouble }]
}

function networkFacts(f: ConsoleFacts): readonly Fact[] {
  const { status } = f
  if (f.role === '') return []
  if (status === null) return [{ about: 'network', says: ['the program is not running'], isTrouble: true }]
  if (status['starting'] === true) return [{ about: 'network', says: [f.member, 'starting'] }]
  if (f.role === 'coordinator') {
    const { known, present } = record(status['members'])
    return [
      { about: 'network', says: [text(status['name']), `${list(present).length} of ${text(known)} boxes are here`] },
    ]
  }
  const { state, at, lastError } = record(status['coordinator'])
  const error = lastError === null || lastError === undefined ? '' : text(lastError)
  const facts: Fact[] = [
    {
      about: 'network',
      says: [
        f.member === '' ? 'not a member' : f.member,
        STATES.get(text(state)) ?? text(state),
        `coordinator ${list(at).map(text).join(' ')}`,
        error,
      ],
      isTrouble: state !== 'registered',
    },
  ]
  const paths = list(status['paths']).map(record)
  const hosts = list(status['hosts'])
  if (Array.isArray(status['hosts'])) facts.push({ about: 'hosts', says: [`${hosts.length} behind this box`] })
  if (Array.isArray(status['paths']))
    facts.push({
      about: 'paths',
      says:
        paths.length === 0 ? ['none'] : paths.slice(0, MOST_PATHS).map((p) => `${text(p['peer'])} (${text(p['way'])})`),
    })
  return facts
}

function configFacts({ config }: ConsoleFacts): readonly Fact[] {
  const { state = '', file = '', why = '' } = config
  if (state === '') return []
  const said = CONFIG.get(state) ?? state
  return [
    { about: 'config', says: [said, state === 'ok' ? '' : file, why], isTrouble: state !== 'ok' && state !== 'none' },
  ]
}

function dataFacts({ data }: ConsoleFacts): readonly Fact[] {
  const { medium, why = '' } = data
  if (medium !== 'ram' && why === '') return []
  const what = medium === 'ram' ? 'works from RAM: what is new is lost with the power' : 'works still, but'
  return [{ about: 'data', says: [what, why], isTrouble: true }]
}

function slotFacts({ slot, health, update }: ConsoleFacts): readonly Fact[] {
  const facts: Fact[] = []
  if (slot['slot'] !== undefined)
    facts.push({
      about: 'slot',
      says: [
        `${slot['slot']} ${SLOTS.get(slot['state'] ?? '') ?? slot['state'] ?? ''}`.trim(),
        slot['why'] ?? '',
        health['why'] ?? '',
      ],
      isTrouble: slot['state'] === 'trial',
    })
  if (update['state'] !== undefined)
    facts.push({ about: 'update', says: [update['state'], update['version'] ?? '', update['why'] ?? ''] })
  return facts
}

const STATES: ReadonlyMap<string, string> = new Map([
  ['down', 'not reachable'],
  ['confirming', 'registering'],
  ['refused', 'refused by the coordinator'],
])
const SLOTS: ReadonlyMap<string, string> = new Map([
  ['good', 'is good'],
  ['trial', 'is on trial'],
])
const CONFIG: ReadonlyMap<string, string> = new Map([
  ['ok', 'in force'],
  ['none', 'none yet'],
  ['refused', 'REFUSED, the last good one stays'],
  ['kept', 'the last good one stays'],
])
const record = (v: unknown): Readonly<Record<string, unknown>> =>
  typeof v === 'object' && v !== null ? (v as Readonly<Record<string, unknown>>) : {}
const list = (v: unknown): readonly unknown[] => (Array.isArray(v) ? v : [])
const text = (v: unknown): string =>
  v === undefined || v === null ? '' : typeof v === 'object' ? JSON.stringify(v) : String(v)
const MOST_PATHS = 12
