import { createSocket, type Socket } from 'node:dgram'
import { connect, type Socket as TcpSocket } from 'node:net'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { ipText, isIp4, parseIp } from '#ntm-lib/addr/ip.ts'

/** One UDP socket per question with a random source port (RFC 5452 §9.2), closed when its answer is in. */
export class ResolverSockets {
  readonly #open = new Map<number, Socket>()
  readonly #connections = new Map<number, Set<TcpSocket>>()
  readonly #take: (socket: number, from: Endpoint, bytes: Uint8Array) => void

  constructor(take: (socket: number, from: Endpoint, bytes: Uint8Array) => void) {
    this.#take = take
  }

  send(socket: number, to: Endpoint, bytes: Uint8Array): void {
    this.#socket(socket, isIp4(to.ip) ? 'udp4' : 'udp6').send(bytes, to.port, ipText(to.ip))
  }

  /** The same question over TCP, because its answer did not fit: two bytes of length in front. RFC 7766 §8. */
  askTcp(socket: number, to: Endpoint, bytes: Uint8Array): void {
    const tcp = connect({ host: ipText(to.ip), port: to.port })
    const all = this.#connections.get(socket) ?? new Set()
    this.#connections.set(socket, all.add(tcp))
    const frame = Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 255), bytes])
    let got = Buffer.alloc(0)
    // Expected: the resolver takes no TCP. The question times out and the next resolver is asked.
    tcp.on('error', () => {})
    tcp.on('data', (part: Buffer) => {
      got = Buffer.concat([got, part])
      const length = got.length < 2 ? 0 : got.readUInt16BE(0)
      if (got.length < 2 || got.length < 2 + length) return
      tcp.destroy()
      this.#take(socket, to, got.subarray(2, 2 + length))
    })
    tcp.write(frame)
  }

  close(socket: number): void {
    this.#open.get(socket)?.close()
    this.#open.delete(socket)
    for (const tcp of this.#connections.get(socket) ?? []) tcp.destroy()
    this.#connections.delete(socket)
  }

  closeAll(): void {
    for (const socket of [...this.#open.keys(), ...this.#connections.keys()]) this.close(socket)
  }

  #socket(id: number, family: 'udp4' | 'udp6'): Socket {
    const known = this.#open.get(id)
    if (known !== undefined) return known
    const socket = createSocket(family)
    // Expected: an ICMP error for a dead resolver. The question times out and the next resolver is asked.
    socket.on('error', () => {})
    socket.on('message', (bytes, from) => {
      const ip = parseIp(from.address.split('%')[0] ?? '')
      if (ip !== null) this.#take(id, { ip, port: from.port }, bytes)
    })
    this.#open.set(id, socket)
    return socket
  }
}
