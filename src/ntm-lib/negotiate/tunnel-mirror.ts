import { sameEndpoint } from '../addr/endpoint.ts'
import { after, type Instant, instant, seconds, sooner } from '../base/time.ts'
import { Agenda } from './agenda.ts'
import type { MirrorCommand, MirroredPath } from './mirror.ts'
import type { Path } from './paths.ts'
import { TIMERS } from './timers.ts'
import type { Slot } from './tunnel-epochs.ts'
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
    return this.#agenda.take(now, TURN)
  }

  #settle(): void {
    for (const path of this.#touched) {
      this.#touched.delete(path)
      this.#agenda.set(path, this.#nextLook(path))
      const known = this.#rows.get(path)
      if (path.state === 'gone') {
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
   * Cells change without a word, but nothing that is written into them later is due sooner than 10 s after (silence, passive
   * keep-alive): who looks every `LOOK` and again at what he then sees misses nothing and is never late.
   */
  #nextLook(path: Path): Instant | null {
    if (path.state === 'gone') return null
    return path.isOpen ? sooner(this.#dueOf(path), after(this.#now, LOOK)) : this.#dueOf(path)
  }
}

function mirrored(path: Path): MirroredPath {
  const { cur, prev, next } = path.epochs
  const open = path.isOpen
  return {
    row: path.row,
    peer: path.peerKey,
    ids: path.contract.pathIds,
    id: path.id,
    direction: path.direction,
    to: path.peerEndpoint,
    via: null,
    ahead: null,
    wholeBytes: wholeOf(path),
    innerBytes: mostInner(path),
    clampBytes: clampOf(path),
    leads: open && path.replacedUntil === null,
    ownAllowed: path.ownPrefixes,
    peerAllowed: path.peerPrefixes,
    epochs: [cur, prev, next].flatMap((s: Slot | null) => (s === null || s.keys === null ? [] : [s.keys])),
    seals:
      open && cur !== null && path.mtu !== null
        ? { epoch: cur.epoch, until: after(cur.born, TIMERS.keyStop.millis) }
        : null,
    // A reset is believed unless something comes; an address on trial is kept or left by what comes from where.
    tell: path.resetAt !== null || (path.address !== null && path.address.trial !== null),
  }
}

function sameRow(a: MirroredPath, b: MirroredPath): boolean {
  return (
    (a.to === b.to || (a.to !== null && b.to !== null && sameEndpoint(a.to, b.to))) &&
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

/** Paths looked at in one turn: 10,000 that opened together must not make datagrams wait. */
const TURN = 500
/** Half of the shortest time after which something written into a cell could be due; the rest is for threads' clocks. */
const LOOK = seconds(Math.min(TIMERS.silence.millis, TIMERS.passiveKeepAlive.millis) / 2000)
