import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { ip4FromBytes, ip4Text } from '#ntm-lib/addr/ip4.ts'
import { ip6FromBytes, ip6Text } from '#ntm-lib/addr/ip6.ts'
import { type Batch, type PacketPort, slotAt } from '#ntm-lib/ports/packet-port.ts'
import { IoFault } from './fault.ts'
import { Inbox } from './inbox.ts'
import { NO_COUNTS, type PortCounters } from './native.ts'

/** IP packets through the npm packages `raw-socket` (out) and `pcap` (in). */
export interface PortablePort extends PacketPort {
  readonly name: string
  readonly counters: PortCounters
}

export type PortableOptions = {
  /**
   * What to capture, in addition to being sent by the interface itself; by default all IP packets. Not `outbound`: libpcap
   * judges the first packet in userland, where it does not know the direction, and loses it.
   */
  readonly filter?: string
  /** Longest frame captured whole; a longer one is counted as `oversizedIn`. */
  readonly snapBytes?: number
  readonly bufferBytes?: number
  /** Captured packets that wait unread; one more is lost and counted as `fullOut`. */
  readonly queue?: number
}

/**
 * The RAW port of seed 000: sends whole IP packets as the kernel's own (routed, passed through nftables output and
 * postrouting), receives what leaves through `ifname`, an Ethernet interface to which the packets are routed. The
 * kernel fills in an IPv4 header checksum and refuses (counted) what is longer than the route's MTU: fragment before.
 * Works on the main thread only. IoFault when the packages are absent or the machine refuses.
 */
export function openPortable(ifname: string, options: PortableOptions = {}): PortablePort {
  return new Portable(ifname, options)
}

class Portable implements PortablePort {
  readonly name: string
  readonly #counts: { -readonly [K in keyof PortCounters]: number } = { ...NO_COUNTS }
  readonly #session: PcapSession
  /** Kept here because a raw socket that nobody holds goes silent at the next garbage collection. */
  readonly #raw: { readonly v4: RawSocket; readonly v6: RawSocket }
  readonly #inbox: Inbox
  #closed = false
  /** raw-socket wants a Buffer; one per arena, not one per packet. */
  #buffer: Buffer = Buffer.alloc(0)

  constructor(ifname: string, options: PortableOptions) {
    this.name = ifname
    this.#inbox = new Inbox(options.queue ?? 4096)
    this.#session = capture(ifname, options)
    try {
      this.#raw = { v4: rawSocket(1), v6: rawSocket(2) }
    } catch (fault) {
      endCapture(this.#session)
      throw fault
    }
    this.#session.on('packet', (packet) => this.#onPacket(packet))
  }

  get counters(): PortCounters {
    const { in: received, oversizedIn } = this.#inbox.counts
    return { ...this.#counts, in: received, oversizedIn: this.#counts.oversizedIn + oversizedIn }
  }

  recv(into: Batch): number {
    return this.#inbox.recv(into)
  }

  send(from: Batch): number {
    if (this.#closed) return 0
    const { arena } = from
    if (this.#buffer.buffer !== arena.buffer || this.#buffer.byteOffset !== arena.byteOffset)
      this.#buffer = Buffer.from(arena.buffer, arena.byteOffset, arena.byteLength)
    for (let i = 0; i < from.count; i++) {
      const sent = this.#sendOne(slotAt(from, i), from.lens[i] ?? 0)
      if (sent === 'full') {
        this.#counts.fullOut += from.count - i
        return i
      }
      if (sent) this.#counts.out++
      else this.#counts.refusedOut++
    }
    return from.count
  }

  onReadable(wake: () => void): void {
    this.#inbox.onReadable(wake)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#inbox.close()
    this.#endCapture()
    this.#raw.v4.close()
    this.#raw.v6.close()
  }

  /** Sends one packet out of the captured interface, so that the session sees a packet and ends. */
  #endCapture(): void {
    const packet = Buffer.from(FAREWELL)
    try {
      this.#raw.v4.setOption(SOL_SOCKET, SO_BINDTODEVICE, Buffer.from(`${this.name}\0`), this.name.length + 1)
      this.#raw.v4.wrap.send(packet, 0, packet.length, FAREWELL_TO, () => {})
    } catch {
      // Expected: the interface is gone or down. The session then stays until the process exits.
    }
    endCapture(this.#session)
  }

  #sendOne(at: number, bytes: number): boolean | 'full' {
    const version = (this.#buffer[at] ?? 0) >> 4
    if (!(version === 4 && bytes >= 20) && !(version === 6 && bytes >= 40)) return false
    const to =
      version === 4 ? ip4Text(ip4FromBytes(this.#buffer, at + 16)) : ip6Text(ip6FromBytes(this.#buffer, at + 24))
    try {
      const socket = version === 4 ? this.#raw.v4 : this.#raw.v6
      socket.wrap.send(this.#buffer, at, bytes, to, () => {})
      return true
    } catch (error) {
      // Expected: what sendto said, as text only. A full buffer passes; anything else concerns this packet.
      return error instanceof Error && /temporarily unavailable/.test(error.message) ? 'full' : false
    }
  }

  #onPacket({ buf, header }: PcapPacket): void {
    if (this.#closed) return
    const [kept, whole] = [header.readUInt32LE(8), header.readUInt32LE(12)]
    const bytes = ipBytes(buf, kept)
    if (kept < whole) this.#counts.oversizedIn++
    else if (bytes === null) this.#counts.badIn++
    else if (!this.#inbox.put(Uint8Array.from(buf.subarray(ETHERNET_BYTES, ETHERNET_BYTES + bytes))))
      this.#counts.fullOut++
  }
}

/** Length of the IP packet in a captured frame, without Ethernet padding; null when it is not a whole one. */
function ipBytes(frame: Buffer, kept: number): number | null {
  const room = kept - ETHERNET_BYTES
  if (room < 20) return null
  const version = frame.readUInt8(ETHERNET_BYTES) >> 4
  const bytes =
    version === 4
      ? frame.readUInt16BE(ETHERNET_BYTES + 2)
      : version === 6 && room >= 40
        ? 40 + frame.readUInt16BE(ETHERNET_BYTES + 4)
        : 0
  return bytes >= 20 && bytes <= room ? bytes : null
}

function capture(ifname: string, options: PortableOptions): PcapSession {
  const pcap = load<PcapModule>('pcap')
  // Its default prints to the console when the interface has no IPv4 address, which ours never has.
  pcap.warningHandler = () => {}
  try {
    const session = pcap.createSession(ifname, {
      filter: `(${options.filter ?? 'ip or ip6'})${sentBy(ifname)} or (${FAREWELL_FILTER})`,
      buffer_size: options.bufferBytes ?? 16 << 20,
      snap_length: options.snapBytes ?? 4096,
      // 0 is libpcap's immediate mode: packets are given over as they come, not in batches of a timeout.
      buffer_timeout: 0,
      promiscuous: false,
    })
    if (session.link_type === 'LINKTYPE_ETHERNET') return session
    endCapture(session)
    throw new Error(`link type ${session.link_type}, expected Ethernet`)
  } catch (cause) {
    throw new IoFault(`capture on ${ifname}`, cause)
  }
}

/** The filter's words for "sent by this interface"; empty where sysfs does not show it. */
function sentBy(ifname: string): string {
  try {
    return ` and ether src ${readFileSync(`/sys/class/net/${ifname}/address`, 'utf8').trim()}`
  } catch {
    // Expected: sysfs of another network namespace. Then what comes in is captured too.
    return ''
  }
}

/**
 * Ends a session. The package's `close` only asks: it takes effect at the next captured packet. It also leaves its poll
 * handle in the event loop, so the session's memory must never be freed (its issue #270: a crash).
 */
function endCapture(session: PcapSession): void {
  ENDED.push(session)
  session.close()
  // -2: over. A dispatch that the package scheduled when it started would then use freed memory, so it gets none.
  if (session.session.dispatch(Buffer.alloc(1), Buffer.alloc(16)) === -2) session.session = { dispatch: () => 0 }
}

/** `family`: 1 IPv4, 2 IPv6 (raw-socket's numbers). Protocol 255 sends headers of our own and receives nothing. */
function rawSocket(family: 1 | 2): RawSocket {
  const raw = load<RawModule>('raw-socket')
  try {
    const socket = raw.createSocket({ protocol: 255, addressFamily: family })
    // Asynchronous errors of a socket that only sends concern packets already gone.
    socket.on('error', () => {})
    return socket
  } catch (cause) {
    throw new IoFault('open raw socket', cause)
  }
}

function load<M>(name: string): M {
  try {
    return createRequire(import.meta.url)(name) as M
  } catch (cause) {
    throw new IoFault(
      `load the optional package ${name} (the RAW port needs it compiled; the TUN port does not)`,
      cause,
    )
  }
}

/** The parts of both packages that are used; neither ships complete types. */
type RawSocket = {
  /** Synchronous sendto; the public `send` hands over one packet per event-loop turn. */
  readonly wrap: { send(b: Buffer, at: number, bytes: number, to: string, done: (bytes: number) => void): void }
  setOption(level: number, option: number, value: Buffer, length: number): void
  on(event: 'error', tell: (error: unknown) => void): void
  close(): void
}
type RawModule = { createSocket(options: { readonly protocol: number; readonly addressFamily: 1 | 2 }): RawSocket }
/** `header`: seconds, microseconds, kept, whole; 32-bit words in the machine's order (little-endian here). */
type PcapPacket = { readonly buf: Buffer; readonly header: Buffer }
type PcapSession = {
  session: { dispatch(into: Buffer, header: Buffer): number }
  readonly link_type: string
  on(event: 'packet', take: (packet: PcapPacket) => void): void
  close(): void
}
type PcapModule = {
  warningHandler: (text: string) => void
  createSession(ifname: string, options: Readonly<Record<string, string | number | boolean>>): PcapSession
}

const ENDED: PcapSession[] = []
const SOL_SOCKET = 1
const SO_BINDTODEVICE = 25
/** An empty packet to TEST-NET-1 (RFC 5737) of an experimental protocol (RFC 3692); the kernel fills in the rest. */
const FAREWELL_TO = '192.0.2.1'
const FAREWELL = [0x45, 0, 0, 20, 0, 0, 0, 0, 1, 253, 0, 0, 192, 0, 2, 1, 192, 0, 2, 1]
const FAREWELL_FILTER = `ip proto 253 and dst host ${FAREWELL_TO}`
const ETHERNET_BYTES = 14
