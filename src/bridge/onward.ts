import { type Ip, isIp4 } from '#ntm-lib/addr/ip.ts'
import { clampMss } from '#ntm-lib/packet/clamp.ts'
import { newUpper, upperLayer } from '#ntm-lib/packet/extension.ts'
import { isSuper } from '#ntm-lib/packet/gso.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import { TCP } from '#ntm-lib/packet/protocol.ts'
import { rewriteDestination4, rewriteDestination6, rewriteSource4, rewriteSource6 } from '#ntm-lib/packet/rewrite.ts'
import { UDP_BYTES } from '#ntm-lib/packet/udp.ts'
import type { Tunnel } from './routes.ts'

/** How a packet fits a tunnel: as it is; by being made into fragments; after it was cut into plain packets; not at all. */
export type Fit = 'whole' | 'fragments' | 'cut-first' | 'too-big'

/** What happens to a packet itself on its way from a host into a tunnel and back, in place. */
export class Onward {
  readonly #upper = newUpper()
  readonly #address = new DataView(new ArrayBuffer(16))

  fit(t: Tunnel, v: DataView, at: number, len: number, gso: number): Fit {
    const whole = isSuper(gso) ? this.#segmentBytes(v, at, len, gso) : len
    const over = whole > t.innerBytes
    if (over && (ip4.version(v, at) !== 4 || ip4.dontFragment(v, at))) return 'too-big'
    if (isSuper(gso) && whole > t.wholeBytes) return 'cut-first'
    return over ? 'fragments' : 'whole'
  }

  /** From `ip`, the host's virtual address. */
  toTunnel(t: Tunnel, ip: Ip, v: DataView, at: number, len: number, gso: number): void {
    const four = isIp4(ip)
    if (four) rewriteSource4(v, at, len, ip)
    else {
      ip6.putAddress(this.#address, 0, ip)
      rewriteSource6(v, at, len, this.#address, 0)
    }
    clamp(t, four, v, at, len, gso)
  }

  /** To `ip`, the host's real address; `t` is null when the way back is not known. */
  toHost(t: Tunnel | null, ip: Ip, v: DataView, at: number, len: number, gso: number): void {
    const four = isIp4(ip)
    if (four) rewriteDestination4(v, at, len, ip)
    else {
      ip6.putAddress(this.#address, 0, ip)
      rewriteDestination6(v, at, len, this.#address, 0)
    }
    if (t !== null) clamp(t, four, v, at, len, gso)
  }

  /** Bytes of each packet that a super-packet becomes. Segments of TCP are cut to what fits when they are sealed. */
  #segmentBytes(v: DataView, at: number, len: number, gso: number): number {
    if (ip4.version(v, at) === 4)
      return ip4.protocol(v, at) === TCP ? 0 : Math.min(len, ip4.headerBytes(v, at) + UDP_BYTES + gso)
    if (!upperLayer(v, at, len, this.#upper) || this.#upper.protocol === TCP) return 0
    return Math.min(len, this.#upper.at - at + UDP_BYTES + gso)
  }
}

/** TCP is never sent in halves: its segments fit T. A SYN is never a super-packet. */
function clamp(t: Tunnel, four: boolean, v: DataView, at: number, len: number, gso: number): void {
  if (!isSuper(gso)) clampMss(v, at, len, t.clampBytes - (four ? 40 : 60))
}
