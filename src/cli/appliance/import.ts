import { join } from 'node:path'
import type { Facts } from '#appliance/facts.ts'
import { type Outcome, reportText } from '#appliance/report.ts'
import type { Owner } from '#io/durable.ts'
import type { LinkAddr } from '#ntm-lib/addr/link.ts'
import { keptBox } from '../compose/box.ts'
import { type ConfigSet, ConfigSets } from './config-sets.ts'
import { readFacts, writeFacts } from './fact-files.ts'
import { KeptState } from './kept-state.ts'
import { hashOf, hasRoot, type Offer, readOffer, removeSecrets, writeReport } from './medium.ts'
import { judge, type Verdict } from './verdict.ts'

export type ImportPlaces = {
  /** The boot partition, a stick: where they are mounted, or null. */
  readonly boot: string | null
  readonly stick: string | null
  /** The data partition. */
  readonly data: string
  /** `/run/ntm-box`. */
  readonly run: string
}

export type ImportMachine = {
  readonly ports: readonly LinkAddr[]
  readonly version: string
  readonly owner: Owner | null
  /** What has certainly passed, in milliseconds. */
  readonly floor: number
}

/** `changed`: another configuration, network or membership is in force. */
export type ImportResult = 'same' | 'changed' | 'trouble'

/**
 * Takes over what a medium offers: checked first, then in force as a whole, only then are secrets taken off the medium. Whatever is wrong
 * with it, and whenever the power goes, the box has the old configuration or the new one. What came of it is told in `/run/ntm-box/config` and beside
 * the configuration on the medium. Never throws.
 */
export function importConfig(places: ImportPlaces, machine: ImportMachine): ImportResult {
  const say = (words: Facts): void => writeFacts(join(places.run, 'config'), words)
  let role = ''
  try {
    const sets = new ConfigSets(join(places.data, 'config'), machine.owner)
    const before = sets.inForce()
    role = before?.system.get('role')?.trim() ?? ''
    const seen = new Seen(join(places.data, 'config/seen'))
    const offer = pick(places, seen, before !== null)
    if (offer === null) {
      say(before === null ? { state: 'none', why: 'no configuration yet: the box bridges' } : { state: 'ok', role })
      return 'same'
    }
    const state = new KeptState(places.data, machine.owner)
    const verdict = look(offer, before, state, machine)
    if (!verdict.ok) {
      const outcome: Outcome = { is: 'refused', role: role === '' ? null : role, mistakes: verdict.mistakes }
      const unwritten = tell(offer, outcome, offer.notes, machine)
      const why = [...verdict.mistakes.slice(0, 1), ...unwritten].join('; ')
      say({ state: 'refused', role, file: `${offer.medium}:ntm.toml`, report: unwritten.length > 0 ? '' : REPORT, why })
      return 'same'
    }
    role = verdict.config.role
    const done = take(offer, verdict, before, { sets, state, keepsMedium: isRam(places.run) })
    const since = sets.inForce()?.since.getTime() ?? 0
    const outcome: Outcome = {
      is: 'in-force',
      role,
      since: since < machine.floor ? '' : dateText(since),
      removed: done.removed,
    }
    const notes = [...offer.notes, ...done.notes]
    const unwritten = tell(offer, outcome, notes, machine)
    seen.note(places, offer)
    say({
      state: 'ok',
      role,
      file: `${offer.medium}:ntm.toml`,
      report: unwritten.length > 0 ? '' : REPORT,
      why: [...notes, ...unwritten].join('; '),
    })
    return done.changed ? 'changed' : 'same'
  } catch (e) {
    // A disk that is full or dying, a medium that was pulled out: what is in force stays, and the box goes on with it.
    const why = e instanceof Error ? e.message : String(e)
    try {
      say({ state: 'kept', role, why })
    } catch {
      // Not even that can be written; the exit code tells.
    }
    return 'trouble'
  }
}

/** The stick goes first. What the boot partition had when another configuration was taken is not taken again. */
function pick({ boot, stick }: ImportPlaces, seen: Seen, configured: boolean): Offer | null {
  const offered = stick === null ? null : readOffer('stick', stick)
  if (offered !== null) return offered
  const here = boot === null ? null : readOffer('boot', boot)
  return here !== null && configured && seen.hash('boot') === hashOf(here) ? null : here
}

function look(offer: Offer, inForce: ConfigSet | null, state: KeptState, { ports }: ImportMachine): Verdict {
  const { config, token, network } = offer
  if (config === null && token === null && network === null) return { ok: false, mistakes: offer.notes }
  const here = { inForce, ports, network: network !== null || state.hasNetwork, box: keptBox(state.dir) }
  const verdict = judge({ config, token, ...here })
  if (!verdict.ok || verdict.config.role !== 'coordinator' || network === null) return verdict
  const fault = state.stage(network)
  return fault === null ? verdict : { ok: false, mistakes: [`the directory "network" is damaged: ${fault}`] }
}

type Done = { readonly changed: boolean; readonly removed: readonly string[]; readonly notes: readonly string[] }
type Kept = { readonly sets: ConfigSets; readonly state: KeptState; readonly keepsMedium: boolean }

/** In an order in which each step, done twice, is as done once: what a power cut leaves is finished at the next start. */
function take(
  offer: Offer,
  verdict: Extract<Verdict, { ok: true }>,
  before: ConfigSet | null,
  { sets, state, keepsMedium }: Kept,
): Done {
  const notes: string[] = [...verdict.notes]
  const isCoordinator = verdict.config.role === 'coordinator'
  const network = isCoordinator && offer.network !== null ? state.takeNetwork() : null
  if (offer.network !== null && !isCoordinator) notes.push('"network" is for a coordinator, and was left alone')
  if (network !== null && network.note !== '') notes.push(network.note)
  if (network !== null && offer.network !== null && hasRoot(offer.network)) notes.push(ROOT_STAYS)
  const isNew = before === null || !isSame(before, verdict.set)
  if (isNew) sets.put(verdict.set)
  if (verdict.leaves) notes.push(`what it was is kept on the data partition as ${state.leave()}`)
  const changed = isNew || verdict.leaves || network?.changed === true
  if (keepsMedium) {
    notes.push('the data partition cannot be used: this is in force until the next start, and nothing was removed here')
    return { changed, removed: [], notes }
  }
  try {
    return { changed, removed: removeSecrets(offer, verdict.tokenTaken, network !== null), notes }
  } catch (e) {
    // A write-protected stick. The configuration is in force all the same.
    notes.push(`secrets could not be removed here: ${e instanceof Error ? e.message : String(e)}`)
    return { changed, removed: [], notes }
  }
}

/** What could not be said there, in words; empty when all was. */
function tell(offer: Offer, outcome: Outcome, notes: readonly string[], m: ImportMachine): readonly string[] {
  try {
    writeReport(offer.dir, reportText({ outcome, notes, version: m.version, ports: m.ports }))
    return []
  } catch (e) {
    // A write-protected medium.
    return [`no report could be written there (${e instanceof Error ? e.message : String(e)})`]
  }
}

/** What the media held when a configuration was taken, so that an older one on the boot partition does not come back. */
class Seen {
  readonly #file: string

  constructor(file: string) {
    this.#file = file
  }

  hash(medium: string): string | null {
    return readFacts(this.#file)[medium] ?? null
  }

  /** As they are now, rewritten. */
  note({ boot }: ImportPlaces, taken: Offer): void {
    const at = boot === null ? null : readOffer('boot', boot)
    const now = { ...readFacts(this.#file), ...(at === null ? {} : { boot: hashOf(at) }) }
    const stick = taken.medium === 'stick' ? readOffer('stick', taken.dir) : null
    writeFacts(this.#file, stick === null ? now : { ...now, stick: hashOf(stick) })
  }
}

const isSame = (a: ConfigSet, b: ConfigSet): boolean => plain(a) === plain(b)
const plain = ({ text, token, system }: ConfigSet): string =>
  JSON.stringify([text, token, [...system].toSorted(([x], [y]) => (x < y ? -1 : 1))])
const isRam = (run: string): boolean => readFacts(join(run, 'data'))['medium'] === 'ram'
const dateText = (ms: number): string => `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`
const REPORT = 'ntm-report.txt'
const ROOT_STAYS =
  'network/root.json was neither taken nor removed: whoever has it can make terminators of this network, so move it to a safe place, off this medium'
