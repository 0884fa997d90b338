import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { PathId } from '#ntm-lib/addr/ids.ts'
import { after, type Instant, seconds } from '#ntm-lib/base/time.ts'
import { checkLeg, RelayCookies, signLeg } from '#ntm-lib/crypto/relay-leg.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import { HEADER_BYTES } from '#ntm-lib/wire/header.ts'
import {
  type BindDatagram,
  type ConfirmDatagram,
  encodeRelayLeg,
  LEAST_NOTICED_BYTES,
  type NoticeReason,
  relayLegBytes,
} from '#ntm-lib/wire/relay-leg.ts'
import { AMPLIFICATION } from './forward.ts'
import { boundPlace, legOf, pendingPlace, type RelayTable } from './table.ts'

/** Binds ends to their legs, and tells them why nothing is forwarded. `docs/wire.md`, Relay leg. */
export class Legs {
  readonly #suite: CryptoSuite
  readonly #table: RelayTable
  readonly #counters: Counters
  readonly #cookies: RelayCookies
  readonly #send: (to: Endpoint, bytes: Uint8Array) => void

  constructor(
    suite: CryptoSuite,
    table: RelayTable,
    counters: Counters,
    send: (to: Endpoint, bytes: Uint8Array) => void,
  ) {
    this.#suite = suite
    this.#table = table
    this.#counters = counters
    this.#cookies = new RelayCookies(suite)
    this.#send = send
  }

  /** The leg that this Bind has given a pending (or, from where it was, a refreshed) address; -1 when it is refused. */
  bind(row: number, d: BindDatagram, from: Endpoint, bytes: Uint8Array, now: Instant): number {
    const t = this.#table
    const leg = legOf(row, d.direction)
    if (!this.#isOwn(leg, bytes)) return -1
    // A copy, or one that was overtaken: the address it comes from may be anybody's.
    if (d.seq <= (t.seqs[leg] ?? 0)) return this.#drop('relay.drop.bind-replayed')
    t.seqs[leg] = d.seq
    t.legUntil[leg] = after(now, LEG_LIFE)
    t.usedAt[row] = now
    if (t.isPlace(boundPlace(leg), from)) t.dropPending(leg)
    else {
      if (!t.isPlace(pendingPlace(leg), from)) {
        t.dropPending(leg)
        t.setPlace(pendingPlace(leg), from)
      }
      t.pendingUntil[leg] = after(now, PENDING_LIFE)
      t.allowance[leg] = (t.allowance[leg] ?? 0) + AMPLIFICATION * bytes.length - relayLegBytes('challenge')
    }
    const cookie = this.#cookies.cookieFor(d.path, d.direction, from, d.seq, now)
    const { path, direction, seq } = d
    const challenge = encodeRelayLeg({ kind: 'challenge', path, direction, seq, cookie, tag: NO_TAG })
    this.#send(from, signLeg(this.#suite, t.keys[leg] ?? NO_TAG, challenge, true))
    if (now > (t.leaseUntil[row] ?? 0) - LAST_MINUTE) this.notice('expiring', leg, d.path, from, bytes, now)
    return leg
  }

  /** The leg that is bound now; -1 when the Confirm is refused. */
  confirm(row: number, d: ConfirmDatagram, from: Endpoint, bytes: Uint8Array, now: Instant): number {
    const t = this.#table
    const leg = legOf(row, d.direction)
    if (!this.#isOwn(leg, bytes)) return -1
    if (d.seq !== t.seqs[leg]) return this.#drop('relay.drop.confirm-old')
    if (!this.#cookies.proves(d.cookie, d.path, d.direction, from, d.seq, now))
      return this.#drop('relay.drop.confirm-forged')
    if (!t.isPlace(boundPlace(leg), from)) this.#counters.count('relay.bound')
    t.bind(leg, from, now)
    t.legUntil[leg] = after(now, LEG_LIFE)
    return leg
  }

  /** To where the datagram came from; at most one a second and leg (one end's must not be the other's), never more than came. */
  notice(reason: NoticeReason, leg: number, path: PathId, to: Endpoint, trigger: Uint8Array, now: Instant): void {
    const t = this.#table
    if (trigger.length < LEAST_NOTICED_BYTES || now < (t.noticedAt[leg] ?? 0) + 1000) return
    // What caused it came from there and was worth three times as much.
    if (t.isPlace(pendingPlace(leg), to)) t.allowance[leg] = (t.allowance[leg] ?? 0) - LEAST_NOTICED_BYTES
    t.noticedAt[leg] = now
    const head = { path, direction: (leg & 1) as 0 | 1, seq: t.seqs[leg] ?? 0 }
    const notice = encodeRelayLeg({ kind: 'notice', ...head, reason, trigger: trigger.slice(0, HEADER_BYTES), tag: NO_TAG }) // biome-ignore format: one line
    this.#counters.count(`relay.notice.${reason}`)
    this.#send(to, signLeg(this.#suite, t.keys[leg] ?? NO_TAG, notice, true))
  }

  #isOwn(leg: number, bytes: Uint8Array): boolean {
    if (checkLeg(this.#suite, this.#table.keys[leg] ?? NO_TAG, bytes, false)) return true
    this.#counters.count('relay.drop.bad-tag')
    return false
  }

  #drop(name: string): -1 {
    this.#counters.count(name)
    return -1
  }
}

/** Ends refresh their leg every 20 s. */
const LEG_LIFE = seconds(60)
/** An address that has not confirmed by then has not seen the Challenge: its end binds again. */
const PENDING_LIFE = seconds(10)
const LAST_MINUTE = seconds(60)
const NO_TAG = new Uint8Array(16)
