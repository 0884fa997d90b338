import { createSocket, type Socket } from 'node:dgram'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { ipText, isIp4, parseIp } from '#ntm-lib/addr/ip.ts'

/** One UDP socket per question with a random source port (RFC 5452 §9.2), closed when its answer is in. */
export class ResolverSockets {
  readonly #open = new Map<number, Socket>()
  readonly #take: (socket: number, from: Endpoint, bytes: Uint8Array) => void

  constructor(take: (socket: number, from: Endpoint, bytes: Uint8Array) => void) {
    this.#take = take
  }

  send(socket: number, to: Endpoint, bytes: Uint8Array): void {
    this.#socket(socket, isIp4(to.ip) ? 'udp4' : 'udp6').send(bytes, to.port, ipText(to.ip))
  }

  close(socket: number): void {
    this.#open.get(socket)?.close()
    this.#open.delete(socket)
  }

  closeAll(): void {
    for (const socket of [...this.#open.keys()]) this.close(socket)
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
