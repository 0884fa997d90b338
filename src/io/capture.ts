import { closeSync, openSync, writeSync } from 'node:fs'
import type { Calendar } from '#ntm-lib/ports/machine.ts'
import { type Batch, type PacketPort, slotAt } from '#ntm-lib/ports/packet-port.ts'
import { systemCalendar } from './clock.ts'
import { IoFault } from './fault.ts'

/** What the packets are: bare IP (a TUN) or Ethernet frames. The link types of a pcap file. */
export const LINK_TYPES = { ip: 101, ethernet: 1 } as const

export type CaptureOptions = {
  readonly link: keyof typeof LINK_TYPES
  readonly calendar?: Calendar
  /** The file stops growing here; packets go on unrecorded. 0 for no limit. */
  readonly maxBytes?: number
}

/**
 * Wraps a port and writes every packet that passes, both ways, to a pcap file (microseconds, the format of
 * draft-ietf-opsawg-pcap). Written synchronously: for looking, not for speed. IoFault when the file cannot be made; when
 * it cannot be written later, recording ends and packets go on.
 */
export function captured(inner: PacketPort, path: string, options: CaptureOptions): PacketPort {
  const file = new PcapFile(path, options)
  return {
    recv: (into) => {
      const n = inner.recv(into)
      for (let i = 0; i < n; i++) file.write(into, i)
      return n
    },
    send: (from) => {
      const n = inner.send(from)
      for (let i = 0; i < n; i++) file.write(from, i)
      return n
    },
    onReadable: (wake) => inner.onReadable(wake),
    close: () => {
      file.close()
      inner.close()
    },
  }
}

class PcapFile {
  readonly #calendar: Calendar
  readonly #maxBytes: number
  #descriptor: number | null
  #written = 0

  constructor(path: string, options: CaptureOptions) {
    this.#calendar = options.calendar ?? systemCalendar
    this.#maxBytes = options.maxBytes ?? 256 << 20
    try {
      // Packets are private: nobody but the owner may read them.
      this.#descriptor = openSync(path, 'w', 0o600)
    } catch (cause) {
      throw new IoFault(`create ${path}`, cause)
    }
    const head = new DataView(new ArrayBuffer(24))
    head.setUint32(0, 0xa1b2c3d4, true)
    head.setUint16(4, 2, true)
    head.setUint16(6, 4, true)
    head.setUint32(16, SNAP_BYTES, true)
    head.setUint32(20, LINK_TYPES[options.link], true)
    this.#append(new Uint8Array(head.buffer))
  }

  write(b: Batch, i: number): void {
    const bytes = b.lens[i] ?? 0
    if (this.#descriptor === null || (this.#maxBytes > 0 && this.#written + 16 + bytes > this.#maxBytes)) return
    const now = this.#calendar.today()
    const record = new Uint8Array(16 + bytes)
    const view = new DataView(record.buffer)
    view.setUint32(0, Math.floor(now / 1000), true)
    view.setUint32(4, Math.floor((now % 1000) * 1000), true)
    view.setUint32(8, bytes, true)
    view.setUint32(12, bytes, true)
    record.set(b.arena.subarray(slotAt(b, i), slotAt(b, i) + bytes), 16)
    this.#append(record)
  }

  close(): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor)
    this.#descriptor = null
  }

  #append(bytes: Uint8Array): void {
    if (this.#descriptor === null) return
    try {
      this.#written += writeSync(this.#descriptor, bytes)
    } catch {
      // Expected: disk full. Looking at packets must not stop them.
      this.close()
    }
  }
}

const SNAP_BYTES = 262144
