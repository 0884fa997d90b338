import { type Ip4, parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { type Ip6, parseIp6 } from '#ntm-lib/addr/ip6.ts'
import { viewOf } from '#ntm-lib/packet/build.ts'
import { type Batch, batch, HEADROOM, slotAt } from '#ntm-lib/ports/packet-port.ts'
import type { Verdict } from '#tt/verdict.ts'
import { PairMap } from '#tt/xlat/addr.ts'
import { newTranslated, type XlatContext } from '#tt/xlat/context.ts'
import { fourToSix } from '#tt/xlat/four-to-six.ts'
import { sixToFour } from '#tt/xlat/six-to-four.ts'

/** Host and server in both families, and a router in each that has no pair. */
export const HOST4 = four('198.18.0.5')
export const HOST6 = six('fd00:1:2:aaaa:bbbb:cccc:dddd:eeee')
export const SERVER4 = four('198.19.0.9')
export const SERVER6 = six('2001:db8:7::80')
export const ROUTER4 = four('203.0.113.77')
export const ROUTER6 = six('2001:db8:ffff::1')
/** What stands for routers on the other side. */
export const ROUTERS6 = six('fd00:1:3:0:0:6052:0:0')
export const ROUTER4_ALIAS = four('198.19.255.254')

export type Result = {
  readonly verdict: Verdict
  readonly reason: string | null
  /** The translated packet of `forward`. */
  readonly packet: Uint8Array
  readonly gso: number
  /** The fragments of `split`. */
  readonly pieces: readonly Uint8Array[]
  /** The ICMP error of `reply`. */
  readonly reply: Uint8Array
}

/** A translator with one host and one server, that also watches the bytes around each packet. */
export class XlatBench {
  readonly ctx: XlatContext
  #ids = 0

  constructor(settings: Partial<XlatContext> = {}) {
    const map = new PairMap(ROUTERS6, ROUTER4_ALIAS)
    map.use({ host4: HOST4, host6: HOST6, server4: SERVER4, server6: SERVER6 })
    this.ctx = {
      map,
      mtu4: 1500,
      mtu6: 1500,
      fragmentTo: 1280,
      copyTrafficClass: true,
      udpZero: 'compute',
      lastHop: 1,
      nextId: (count) => {
        const id = this.#ids + 1
        this.#ids += count
        return id
      },
      own4: ROUTER4_ALIAS,
      own6: ROUTERS6,
      mayReply: () => true,
      reply: batch(4, HEADROOM + 2048),
      spill: batch(64, HEADROOM + 2048),
      ...settings,
    }
  }

  /** Translates to the other family. Throws when a byte outside the slot's part for this packet changed. */
  run(packet: Uint8Array, headroom = HEADROOM, gso = 0): Result {
    const guard = 32
    const arena = new Uint8Array(guard + headroom + packet.length + guard).fill(0xa5)
    const at = guard + headroom
    arena.set(packet, at)
    const out = newTranslated()
    const { ctx } = this
    ctx.reply.count = ctx.spill.count = 0
    const v = viewOf(arena)
    const isFour = (packet[0] ?? 0) >> 4 !== 6
    const verdict = isFour
      ? fourToSix(v, guard, at, packet.length, gso, ctx, out)
      : sixToFour(v, at, packet.length, gso, ctx, out)
    const clean = (from: number, to: number): boolean => arena.subarray(from, to).every((b) => b === 0xa5)
    if (!clean(0, guard) || !clean(at + packet.length, arena.length)) throw new Error('wrote outside the slot')
    if (verdict === 'forward' && (out.at < guard || out.at + out.len > at + packet.length)) throw new Error('moved out')
    return {
      verdict,
      reason: out.reason,
      gso: out.gso,
      packet: verdict === 'forward' ? arena.slice(out.at, out.at + out.len) : new Uint8Array(0),
      pieces: verdict === 'split' ? slots(ctx.spill) : [],
      reply: verdict === 'reply' ? (slots(ctx.reply)[0] as Uint8Array) : new Uint8Array(0),
    }
  }
}

const slots = (b: Batch): Uint8Array[] =>
  Array.from({ length: b.count }, (_, i) => b.arena.slice(slotAt(b, i), slotAt(b, i) + (b.lens[i] ?? 0)))

function four(text: string): Ip4 {
  const ip = parseIp4(text)
  if (ip === null) throw new Error(`not an IPv4 address: ${text}`)
  return ip
}

function six(text: string): Ip6 {
  const ip = parseIp6(text)
  if (ip === null) throw new Error(`not an IPv6 address: ${text}`)
  return ip
}
