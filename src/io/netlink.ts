import type { PacketIo, Port } from '#native/packet-io/index.d.ts'
import { ENOBUFS, errnoFault } from './fault.ts'
import { packetIo } from './native.ts'

/** Links, addresses and routes. */
export const NETLINK_ROUTE = 0

/** One message of a netlink datagram; `body` is only valid until the next call or event. */
export type NetlinkMessage = {
  readonly type: number
  readonly flags: number
  readonly seq: number
  readonly body: Uint8Array
}

export type NetlinkAnswer = {
  readonly messages: readonly NetlinkMessage[]
  /** Final answers that came: acknowledgements, errors, ends of dumps. */
  readonly answers: number
  /** Negative errnos of the requests that failed, by sequence number. Empty when all went well. */
  readonly errors: readonly { readonly seq: number; readonly errno: number }[]
}

/** Raw netlink: the caller writes the bytes of requests and reads those of answers. */
export interface NetlinkPort {
  /**
   * Sends `batch` in one datagram and collects until `answers` final answers came or `waitMs` (at most 1000) passed;
   * the kernel answers before the call returns, so the wait is for the unusual. IoFault when it refuses the datagram.
   */
  talk(batch: Uint8Array, answers: number, waitMs?: number): NetlinkAnswer
  close(): void
}

export interface NetlinkEvents {
  /** `lost` is called when the kernel dropped events: whoever follows a state must read it anew. */
  onEvent(take: (message: NetlinkMessage) => void, lost: () => void): void
  close(): void
}

/** `replyBytes`: the longest answer that `talk` takes; a longer one is an IoFault `EMSGSIZE`. */
export function openNetlink(protocol: number, replyBytes: number = REPLY_BYTES): NetlinkPort {
  const io = packetIo()
  const port = io.openNetlink(protocol, 0, BUFFER_BYTES)
  if (typeof port === 'number') throw errnoFault(`open netlink ${protocol}`, port)
  const reply = new Uint8Array(replyBytes)
  return {
    talk: (batch, answers, waitMs = 200) => {
      const n = io.talk(port, batch, reply, answers, waitMs)
      if (n < 0) throw errnoFault(`netlink ${protocol} request`, n)
      return answerOf([...messages(reply.subarray(0, n))])
    },
    close: once(() => io.close(port)),
  }
}

/** `groups`: bit mask of multicast groups 1–32 (`RTMGRP_`). */
export function openNetlinkEvents(protocol: number, groups: number): NetlinkEvents {
  const io = packetIo()
  const port = io.openNetlink(protocol, groups, BUFFER_BYTES)
  if (typeof port === 'number') throw errnoFault(`open netlink ${protocol} events`, port)
  const into = new Uint8Array(REPLY_BYTES)
  let open = true
  return {
    onEvent: (take, lost) => {
      const error = io.watch(port, (status) => {
        if (status === ENOBUFS) lost()
        while (open && readOne(io, port, into, take, lost)) {}
      })
      if (error < 0) throw errnoFault(`watch netlink ${protocol}`, error)
    },
    close: once(() => {
      open = false
      io.close(port)
    }),
  }
}

/** Splits a datagram into its messages; what follows a malformed one is dropped. */
export function* messages(bytes: Uint8Array): Generator<NetlinkMessage> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const length = view.getUint32(at, true)
    if (length < HEADER_BYTES || at + length > bytes.length) return
    yield {
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      seq: view.getUint32(at + 8, true),
      body: bytes.subarray(at + HEADER_BYTES, at + length),
    }
    at += (length + 3) & ~3
  }
}

/** The attributes (`struct nlattr`) of a message from `at` on: type without flags, and value. */
export function* attributes(body: Uint8Array, from: number): Generator<readonly [type: number, value: Uint8Array]> {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  for (let at = from; at + 4 <= body.length; ) {
    const length = view.getUint16(at, true)
    if (length < 4 || at + length > body.length) return
    yield [view.getUint16(at + 2, true) & 0x3fff, body.subarray(at + 4, at + length)]
    at += (length + 3) & ~3
  }
}

/** Whether there may be more to read. */
function readOne(
  io: PacketIo,
  port: Port,
  into: Uint8Array,
  take: (m: NetlinkMessage) => void,
  lost: () => void,
): boolean {
  const n = io.recvNetlink(port, into)
  if (n === ENOBUFS) lost()
  if (n < 0) return n === ENOBUFS
  for (const message of messages(into.subarray(0, n))) take(message)
  return n > 0
}

function answerOf(all: readonly NetlinkMessage[]): NetlinkAnswer {
  const final = all.filter((m) => m.type === NLMSG_ERROR || m.type === NLMSG_DONE)
  const errors = final
    .filter((m) => m.type === NLMSG_ERROR && m.body.length >= 4)
    .map((m) => ({ seq: m.seq, errno: new DataView(m.body.buffer, m.body.byteOffset).getInt32(0, true) }))
    .filter((e) => e.errno !== 0)
  return { messages: all, answers: final.length, errors }
}

function once(act: () => void): () => void {
  let done = false
  return () => {
    if (!done) act()
    done = true
  }
}

const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const HEADER_BYTES = 16
const REPLY_BYTES = 1 << 18
const BUFFER_BYTES = 1 << 20
