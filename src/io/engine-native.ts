import type { PacketIo } from '#native/packet-io/index.d.ts'
import type { PacketEngine } from '#ntm-lib/plane/engine.ts'
import { HEADROOM } from '#ntm-lib/ports/packet-port.ts'
import { packetIo } from './native.ts'

export type NativeEngineOptions = {
  /** Whether opened segments of a flow become super-packets; default true. */
  readonly join?: boolean
}

/** The addon's engine for one packet worker: a table of keys of its own, erased with the thread or the object. IoFault without the addon. */
export function nativeEngine({ join = true }: NativeEngineOptions = {}, io: PacketIo = packetIo()): PacketEngine {
  const keys = io.newKeys(FIRST_KEYS, FIRST_KEYS)
  const done = new Int32Array(4)
  return {
    setSeal: (index, suite, key, nonce, mostPackets, mostBytes) =>
      io.setSeal(keys, index, suite, key, nonce, mostPackets, mostBytes),
    setOpen: (index, suite, key, nonce, window) => io.setOpen(keys, index, suite, key, nonce, window),
    clearSeal: (index) => io.clearSeal(keys, index),
    clearOpen: (index) => io.clearOpen(keys, index),
    newestCounter: (index, lane) => io.newestCounter(keys, index, lane),
    seal(jobs, first, count, headers, arena, out, status) {
      const jobsDone = io.seal(keys, jobs, first, count, headers, arena, out.arena, out.runs, status, done)
      out.count = done[1] ?? 0
      out.datagrams = done[3] ?? 0
      return jobsDone
    },
    open(jobs, first, count, arena, out, meta, status) {
      const { slotBytes, lens, gso } = out
      const jobsDone = io.open(
        keys,
        jobs,
        first,
        count,
        arena,
        out.arena,
        slotBytes,
        HEADROOM,
        lens,
        gso,
        meta,
        join,
        MOST_JOINED_BYTES,
        status,
        done,
      )
      out.count = done[1] ?? 0
      return jobsDone
    },
  }
}

const FIRST_KEYS = 64
/** Leaves room for what translation from IPv4 to IPv6 adds. */
const MOST_JOINED_BYTES = 65_500
