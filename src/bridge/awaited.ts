import { after, type Instant } from '#ntm-lib/base/time.ts'
import { fillTransport, isSuper } from '#ntm-lib/packet/gso.ts'
import { CSUM_MISSING } from '#ntm-lib/ports/packet-port.ts'
import type { Host } from './host.ts'
import { WAIT } from './sweep.ts'

/** A packet, with room for a frame's head before it at `at`. */
export type AwaitedPacket = { readonly host: Host; readonly view: DataView; readonly at: number; readonly len: number }

type Kept = AwaitedPacket & { readonly changes: number; readonly until: Instant }

/** Packets for hosts that are being looked for: a few each, for a moment. */
export class Awaited {
  #packets: Kept[] = []

  /** Keeps a copy; false when there is no room for more, or it is nothing to be kept. */
  keep(host: Host, v: DataView, at: number, len: number, gso: number, now: Instant): boolean {
    if (isSuper(gso) || this.#packets.length >= MOST) return false
    if (this.#packets.filter((p) => p.host === host).length >= MOST_PER_HOST) return false
    if (gso === CSUM_MISSING) fillTransport(v, at, len)
    const bytes = new Uint8Array(HEAD + len)
    bytes.set(new Uint8Array(v.buffer, v.byteOffset + at, len), HEAD)
    const until = after(now, WAIT)
    this.#packets.push({ host, view: new DataView(bytes.buffer), at: HEAD, len, changes: host.changes, until })
    return true
  }

  /** Those whose host has changed since, and those that waited long enough: they wait no more. */
  due(now: Instant): readonly AwaitedPacket[] {
    if (this.#packets.length === 0) return []
    const isDue = (p: Kept): boolean => p.until <= now || p.host.changes !== p.changes
    const due = this.#packets.filter(isDue)
    if (due.length > 0) this.#packets = this.#packets.filter((p) => !isDue(p))
    return due
  }

  deadline(): Instant | null {
    return this.#packets[0]?.until ?? null
  }
}

/** Ethernet with a tag, and some. */
const HEAD = 32
const MOST_PER_HOST = 8
const MOST = 64
