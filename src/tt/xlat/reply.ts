import { mayAnswer, writeError4, writeError6 } from '#ntm-lib/packet/icmp-error.ts'
import { destination } from '#ntm-lib/packet/ip4.ts'
import { DESTINATION_AT } from '#ntm-lib/packet/ip6.ts'
import { HEADROOM, slotAt } from '#ntm-lib/ports/packet-port.ts'
import type { DropReason, Verdict } from '../verdict.ts'
import type { Translated, XlatContext } from './context.ts'

/** Drops without a word. */
export function drop(out: Translated, reason: DropReason): Verdict {
  out.reason = reason
  return 'drop'
}

/**
 * Drops and answers with an ICMPv4 error, if an error may be sent about this packet, the rate allows it and the reply
 * batch has room. RFC 7915 §4.4.
 */
export function answer4(
  ctx: XlatContext,
  out: Translated,
  reason: DropReason,
  type: number,
  code: number,
  rest: number,
  v: DataView,
  at: number,
  len: number,
): Verdict {
  out.reason = reason
  const { reply } = ctx
  if (reply.count >= reply.lens.length || !mayAnswer(v, at, len) || !ctx.mayReply()) return 'drop'
  const from = ctx.own4 ?? destination(v, at)
  const room = reply.slotBytes - HEADROOM
  const to = slotAt(reply, reply.count)
  reply.lens[reply.count++] = writeError4(reply.view, to, room, from, type, code, rest, v, at, len)
  return 'reply'
}

/** The same with an ICMPv6 error. RFC 7915 §5.4. */
export function answer6(
  ctx: XlatContext,
  out: Translated,
  reason: DropReason,
  type: number,
  code: number,
  rest: number,
  v: DataView,
  at: number,
  len: number,
): Verdict {
  out.reason = reason
  const { reply } = ctx
  if (reply.count >= reply.lens.length || !mayAnswer(v, at, len) || !ctx.mayReply()) return 'drop'
  const room = reply.slotBytes - HEADROOM
  const to = slotAt(reply, reply.count)
  const own = ctx.own6
  const from = own === null ? v : new DataView(own.buffer, own.byteOffset, 16)
  const fromAt = own === null ? at + DESTINATION_AT : 0
  reply.lens[reply.count++] = writeError6(reply.view, to, room, from, fromAt, type, code, rest, v, at, len)
  return 'reply'
}
