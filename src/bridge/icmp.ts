import { isIp4 } from '#ntm-lib/addr/ip.ts'
import { Rate } from '#ntm-lib/base/rate.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import { viewOf } from '#ntm-lib/packet/build.ts'
import { TYPE_IP4, TYPE_IP6 } from '#ntm-lib/packet/ether.ts'
import { MOST_ERROR4, MOST_ERROR6, mayAnswer, writeError4, writeError6 } from '#ntm-lib/packet/icmp-error.ts'
import * as icmp4 from '#ntm-lib/packet/icmp4.ts'
import * as icmp6 from '#ntm-lib/packet/icmp6.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import { newFrameFor, type Way } from './frame.ts'
import type { Host } from './host.ts'

/** Why a host's packet comes back. `mtuBytes` is M of its tunnel. */
export type Complaint = { readonly why: 'unreachable' } | { readonly why: 'too-big'; readonly mtuBytes: number }

/** ICMP errors towards hosts or into tunnels, rate-limited together (RFC 1812 §4.3.2.8, RFC 4443 §2.4 f). */
export class Complaints {
  readonly #rate = new Rate(100, 50)

  /**
   * A frame that tells `host` about its packet at `at`; null when no error may be sent about it or too many were. It comes
   * from the gateway, as the host would expect of a router, else from the address the host wrote to.
   */
  about(host: Host, way: Way, what: Complaint, v: DataView, at: number, len: number, now: Instant): Uint8Array | null {
    if (!mayAnswer(v, at, len) || !this.#rate.take(now)) return null
    const big = what.why === 'too-big'
    const rest = big ? what.mtuBytes : 0
    if (ip4.version(v, at) === 4) {
      const f = newFrameFor(way, TYPE_IP4, Math.min(MOST_ERROR4, len + 28))
      const from = host.gatewayIp !== null && isIp4(host.gatewayIp) ? host.gatewayIp : ip4.destination(v, at)
      const code = big ? icmp4.FRAGMENTATION_NEEDED : icmp4.HOST_UNREACHABLE
      const bytes = writeError4(f.view, f.at, f.bytes.length - f.at, from, icmp4.UNREACHABLE, code, rest, v, at, len)
      return f.bytes.subarray(0, f.at + bytes)
    }
    const f = newFrameFor(way, TYPE_IP6, Math.min(MOST_ERROR6, len + 48))
    const kind = big ? icmp6.PACKET_TOO_BIG : icmp6.UNREACHABLE
    const code = big ? 0 : icmp6.ADDRESS_UNREACHABLE
    const from = at + ip6.DESTINATION_AT
    const bytes = writeError6(f.view, f.at, f.bytes.length - f.at, v, from, kind, code, rest, v, at, len)
    return f.bytes.subarray(0, f.at + bytes)
  }

  /**
   * A packet that tells the far end of a tunnel that nobody takes its packet at `at`: from the address that was written to, which is
   * the only one of ours it may hear. Null when no error may be sent about it or too many were.
   */
  unreachable(v: DataView, at: number, len: number, now: Instant): Uint8Array | null {
    if (!mayAnswer(v, at, len) || !this.#rate.take(now)) return null
    if (ip4.version(v, at) === 4) {
      const out = new Uint8Array(Math.min(MOST_ERROR4, len + 28))
      const [from, kind, code] = [ip4.destination(v, at), icmp4.UNREACHABLE, icmp4.HOST_UNREACHABLE]
      return out.subarray(0, writeError4(viewOf(out), 0, out.length, from, kind, code, 0, v, at, len))
    }
    const out = new Uint8Array(Math.min(MOST_ERROR6, len + 48))
    const [kind, code] = [icmp6.UNREACHABLE, icmp6.ADDRESS_UNREACHABLE]
    const from = at + ip6.DESTINATION_AT
    return out.subarray(0, writeError6(viewOf(out), 0, out.length, v, from, kind, code, 0, v, at, len))
  }
}
