import type { Keys, PacketIo } from '#native/packet-io/index.d.ts'
import type { PacketEngine, Runs } from '#ntm-lib/plane/engine.ts'
import { HEADROOM, type SuperBatch, shared } from '#ntm-lib/ports/packet-port.ts'
import { Bindings, canBind } from './bindings.ts'
import { packetIo } from './native.ts'

export type NativeEngineOptions = {
  /** Whether opened segments of a flow become super-packets; default true. */
  readonly join?: boolean
}

/** The addon's engine for one packet worker: a table of keys of its own, erased with the thread or the object. IoFault without the addon. */
export function nativeEngine({ join = true }: NativeEngineOptions = {}, io: PacketIo = packetIo()): PacketEngine {
  const keys = io.newKeys(FIRST_KEYS, FIRST_KEYS)
  const own: Own = { io, keys, join, done: shared(Int32Array, 4) }
  const { done } = own
  const seals = new Bindings<RangeCall>()
  const opens = new Bindings<RangeCall>()
  return {
    setSeal: (index, suite, key, nonce, mostPackets, mostBytes) =>
      io.setSeal(keys, index, suite, key, nonce, mostPackets, mostBytes),
    setOpen: (index, suite, key, nonce, window) => io.setOpen(keys, index, suite, key, nonce, window),
    clearSeal: (index) => io.clearSeal(keys, index),
    clearOpen: (index) => io.clearOpen(keys, index),
    newestCounter: (index, lane) => io.newestCounter(keys, index, lane),
    seal(jobs, first, count, headers, arena, out, status) {
      const call =
        seals.find(arena, headers, jobs, out, status) ??
        seals.add(bindSeal(own, jobs, headers, arena, out, status), arena, headers, jobs, out, status)
      const jobsDone = call(first, count)
      out.count = done[1] ?? 0
      out.datagrams = done[3] ?? 0
      return jobsDone
    },
    open(jobs, first, count, arena, out, meta, status) {
      const call =
        opens.find(arena, out, jobs, meta, status) ??
        opens.add(bindOpen(own, jobs, arena, out, meta, status), arena, out, jobs, meta, status)
      const jobsDone = call(first, count)
      out.count = done[1] ?? 0
      return jobsDone
    },
  }
}

type Own = { readonly io: PacketIo; readonly keys: Keys; readonly join: boolean; readonly done: Int32Array }
type RangeCall = (first: number, count: number) => number

function bindSeal(
  { io, keys, done }: Own,
  jobs: Int32Array,
  headers: Uint8Array,
  arena: Uint8Array,
  out: Runs,
  status: Int8Array,
): RangeCall {
  if (canBind(jobs, headers, arena, out.arena, out.runs, status))
    return io.bindSeal(keys, jobs, headers, arena, out.arena, out.runs, status, done)
  return (first, count) => io.seal(keys, jobs, first, count, headers, arena, out.arena, out.runs, status, done)
}

function bindOpen(
  { io, keys, join, done }: Own,
  jobs: Int32Array,
  arena: Uint8Array,
  out: SuperBatch,
  meta: Int32Array,
  status: Int8Array,
): RangeCall {
  const { arena: into, slotBytes: slot, lens, gso } = out
  const most = MOST_JOINED_BYTES
  if (canBind(jobs, arena, into, lens, gso, meta, status))
    return io.bindOpen(keys, jobs, arena, into, slot, HEADROOM, lens, gso, meta, join, most, status, done)
  return (first, count) =>
    io.open(keys, jobs, first, count, arena, into, slot, HEADROOM, lens, gso, meta, join, most, status, done)
}

const FIRST_KEYS = 64
/** Leaves room for what translation from IPv4 to IPv6 adds. */
const MOST_JOINED_BYTES = 65_500
