import { sameEndpoint } from '../addr/endpoint.ts'
import { sameVia } from '../addr/via.ts'
import { after, type Instant, instant, millis, sooner } from '../base/time.ts'
import { Agenda } from './agenda.ts'
import type { MirrorCommand, MirroredAhead, MirroredPath } from './mirror.ts'
import type { Path } from './paths.ts'
import { TIMERS } from './timers.ts'
import { aheadOf } from './tunnel-ahead.ts'
import { type Slot, sealer } from './tunnel-epochs.ts'
import { clampOf, mostInner, wholeOf } from './tunnel-sizes.ts'

/** When a path's own clocks are due; the owner of the machines says. */
export type DueOf = (path: Path) => Instant | null

/**
 * What has to follow whenever a path may have changed: the row that packet workers have of it, and when it is to be
 * looked at again. Whoever changes a path says `touch`; the rest is found out by comparing.
 */
export class TunnelMirror {
  readonly #dueOf: DueOf
  readonly #touched = new Set<Path>()
  readonly #agenda = new Agenda<Path>()
  /** When each path is due by what was known, and its cells' times then. */
  readonly #asked = new Map<Path, { readonly due: Instant | null; readonly cells: Float64Array }>()
  readonly #rows = new Map<Path, MirroredPath>()
  readonly #commands: MirrorCommand[] = []
  #now: Instant = instant(0)
  #serial = 0

  constructor(dueOf: DueOf) {
    this.#dueOf = dueOf
  }

  /** A name for the keys of one epoch; no two have the same. */
  serial(): number {
    return ++this.#serial
  }

  touch(path: Path, now: Instant): void {
    this.#touched.add(path)
    if (now > this.#now) this.#now = now
  }

  /** What the workers must be told next, in this order, before anything leaves that was sent meanwhile. */
  poll(): MirrorCommand | null {
    this.#settle()
    return this.#commands.shift() ?? null
  }

  /** The earliest moment at which a path wants to be looked at. */
  deadline(): Instant | null {
    this.#settle()
    return this.#agenda.first()
  }

  /** The paths to be looked at now, as many as one turn may take; to be touched afterwards. */
  due(now: Instant): Path[] {
    this.#settle()
    if (now > this.#now) this.#now = now
    // Most were only put down because cells change without a word, and nothing has come of it: they are not worth comparing a row.
    return this.#agenda.take(now, TURN).filter((path) => {
      const due = this.#dueNow(path)
      if (path.state === 'gone' || (due !== null && due <= now)) return true
      this.#agenda.set(path, this.#nextLook(path, due))
      return false
    })
  }

  /** As the owner says, who is asked only when something has been written into the path's cells since. */
  #dueNow(path: Path): Instant | null {
    const known = this.#asked.get(path)
    if (known !== undefined && sameTimes(known.cells, path.cells)) return known.due
    const due = path.state === 'gone' ? null : this.#dueOf(path)
    this.#asked.set(path, { due, cells: path.cells.slice(0, CELL_TIMES) })
    return due
  }

  #settle(): void {
    for (const path of this.#touched) {
      this.#touched.delete(path)
      this.#asked.delete(path)
      this.#agenda.set(path, this.#nextLook(path, this.#dueNow(path)))
      const known = this.#rows.get(path)
      if (path.state === 'gone') {
        this.#asked.delete(path)
        if (this.#rows.delete(path)) this.#commands.push({ mirror: 'gone', row: path.row })
        continue
      }
      const row = mirrored(path)
      if (known !== undefined && sameRow(known, row)) continue
      this.#rows.set(path, row)
      this.#commands.push({ mirror: 'path', path: row })
    }
  }

  /**
   * Cells change without a word, but nothing that is written into them later is due sooner than 2 s after (passive keep-alive,
   * silence): who looks every `LOOK` and again at what he then sees misses nothing and is never late.
   */
  #nextLook(path: Path, due: Instant | null): Instant | null {
    return path.isOpen ? sooner(due, after(this.#now, LOOK)) : due
  }
}

function mirrored(path: Path): MirroredPath {
  const { cur, prev, next } = path.epochs
  const open = path.isOpen
  const seal = sealer(path.epochs)
  return {
    row: path.row,
    peer: path.peerKey,
    ids: path.contract.pathIds,
    id: path.id,
    direction: path.direction,
    to: path.early === null ? path.peerEndpoint : null,
    via: path.via,
    ahead: aheadOf(path),
    wholeBytes: wholeOf(path),
    innerBytes: mostInner(path),
    clampBytes: clampOf(path),
    leads: open && path.replacedUntil === null,
    ownAllowed: path.ownPrefixes,
    peerAllowed: path.peerPrefixes,
    epochs: [cur, prev, next].flatMap((s: Slot | null) => (s === null || s.keys === null ? [] : [s.keys])),
    seals:
      open && seal !== null && path.mtu !== null
        ? { epoch: seal.epoch, until: after(seal.born, TIMERS.keyStop.millis) }
        : null,
    // A reset is believed unless something comes; an address on trial is kept or left by what comes from where.
    tell:
      path.resetAt !== null ||
      (path.address !== null && (path.address.trial !== null || path.address.waiting !== null)),
  }
}

function sameRow(a: MirroredPath, b: MirroredPath): boolean {
  return (
    (a.to === b.to || (a.to !== null && b.to !== null && sameEndpoint(a.to, b.to))) &&
    sameVia(a.via, b.via) &&
    sameAhead(a.ahead, b.ahead) &&
    a.wholeBytes === b.wholeBytes &&
    a.innerBytes === b.innerBytes &&
    a.clampBytes === b.clampBytes &&
    a.leads === b.leads &&
    a.tell === b.tell &&
    a.id === b.id &&
    a.seals?.epoch === b.seals?.epoch &&
    a.seals?.until === b.seals?.until &&
    a.epochs.length === b.epochs.length &&
    a.epochs.every((e, i) => e.serial === b.epochs[i]?.serial)
  )
}

const sameAhead = (a: MirroredAhead | null, b: MirroredAhead | null): boolean =>
  a === b || (a !== null && b !== null && a.serial === b.serial && a.bytes === b.bytes && sameEndpoint(a.to, b.to))

/** The first cells are times: `lastSent` to `owedSince`; the counts say nothing of when. */
const CELL_TIMES = 4
function sameTimes(a: Float64Array, b: Float64Array): boolean {
  for (let i = 0; i < CELL_TIMES; i++) if (!Object.is(a[i], b[i])) return false
  return true
}

/** Paths looked at in one turn: 10,000 that opened together must not make datagrams wait. */
const TURN = 500
/** The shortest time after which something written into a cell could be due, less what threads' clocks and turns differ by. */
const LOOK = millis(Math.min(TIMERS.silence.millis, TIMERS.passiveKeepAlive.millis) - 400)
