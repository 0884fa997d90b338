import { same } from '../base/bytes.ts'
import { after, type Instant, seconds, type WallTime } from '../base/time.ts'
import { type Certificate, decodeSignedCertificate } from '../wire/certificate.ts'

/** What a renewal needs: the membership the node started with, and the time when the machine knows it. */
export type RenewalParts = {
  /** Leaf first; empty before enrolment. */
  readonly chain: readonly Uint8Array[]
  /** Trusted time; null while the machine has none. */
  readonly today: () => WallTime | null
}

/**
 * When to ask for a membership again: from two thirds of its life on, once an hour until it is there. A machine without
 * a clock asks once a day; the coordinator then answers with the same membership as long as it is fresh. `docs/security.md`,
 * Clockless boxes. Holds no timer: it is asked whenever the registration was renewed, which is every few seconds.
 */
export class Renewal {
  readonly #today: () => WallTime | null
  #leaf: Certificate | null
  #notBefore: Instant | null = null

  constructor(parts: RenewalParts) {
    this.#today = parts.today
    this.#leaf = leafOf(parts.chain)
  }

  /** After enrolment. */
  enrolled(chain: readonly Uint8Array[]): void {
    this.#leaf = leafOf(chain)
  }

  /** Whether to ask now; a yes counts as asked. */
  due(now: Instant): boolean {
    if (this.#leaf === null || (this.#notBefore !== null && now < this.#notBefore)) return false
    const today = this.#today()
    const { issued, expires } = this.#leaf
    if (today !== null && today / 1000 < expires - (expires - issued) / 3) return false
    this.#notBefore = after(now, today === null ? BLIND : AGAIN)
    return true
  }

  /** Takes the answer; true when it is another membership of this very box, to be used from now on. */
  take(chain: readonly Uint8Array[]): boolean {
    const [old, fresh] = [this.#leaf, leafOf(chain)]
    // Only the peers judge signatures; but a membership for another key or name would make this box mute for ever.
    if (old === null || fresh === null || fresh.name !== old.name || !same(fresh.subject, old.subject)) return false
    if (fresh.expires <= old.expires) return false
    this.#leaf = fresh
    return true
  }
}

function leafOf(chain: readonly Uint8Array[]): Certificate | null {
  const decoded = chain[0] === undefined ? null : decodeSignedCertificate(chain[0])
  return decoded?.ok === true ? decoded.value.certificate : null
}

const AGAIN = seconds(3600)
const BLIND = seconds(86_400)
