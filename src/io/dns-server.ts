import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { createServer, type Server, type Socket } from 'node:net'
import { type Endpoint, endpointText } from '#ntm-lib/addr/endpoint.ts'
import { type Ip, ipText, isIp4, parseIp } from '#ntm-lib/addr/ip.ts'
import { unmapped } from '#ntm-lib/addr/ip6.ts'
import { IoFault } from './fault.ts'

/** Makes the answer to one DNS message, or null when it deserves none. */
export type DnsAnswer = (query: Uint8Array, from: Ip, transport: 'udp' | 'tcp') => Uint8Array | null

/** One question and the way back to its asker: `reply` may be called later, once; null ends a TCP connection without a word. */
export type DnsAsked = {
  readonly from: Endpoint
  readonly transport: 'udp' | 'tcp'
  readonly reply: (message: Uint8Array | null) => void
}

/** Takes one DNS message; it owns the bytes. */
export type DnsTake = (query: Uint8Array, asked: DnsAsked) => void

export type DnsServer = { close(): Promise<void> }

/**
 * Listens for DNS over UDP and TCP (RFC 7766) on every endpoint. TCP connections are bounded in number, idle time and
 * message size. IoFault when an endpoint cannot be bound; then none stays open.
 */
export const serveDns = (endpoints: readonly Endpoint[], answer: DnsAnswer): Promise<DnsServer> =>
  listenDns(endpoints, (query, { from, transport, reply }) => reply(answer(query, from.ip, transport)))

/** As `serveDns`, for who answers later. */
export async function listenDns(endpoints: readonly Endpoint[], take: DnsTake): Promise<DnsServer> {
  const open: (UdpSocket | Server)[] = []
  const connections = new Set<Socket>()
  const close = async (): Promise<void> => {
    for (const c of connections) c.destroy()
    await Promise.all(open.map((s) => new Promise<void>((done) => s.close(() => done()))))
  }
  try {
    for (const at of endpoints) {
      open.push(await listenUdp(at, take))
      open.push(await listenTcp(at, take, connections))
    }
  } catch (e) {
    // One endpoint in use: the others are let go, so that the operator can start again.
    await close()
    throw e
  }
  return { close }
}

function listenUdp(at: Endpoint, take: DnsTake): Promise<UdpSocket> {
  const socket = createSocket({ type: isIp4(at.ip) ? 'udp4' : 'udp6', ipv6Only: !isIp4(at.ip) })
  return new Promise((resolve, reject) => {
    socket.once('error', (e) => reject(new IoFault(`listen for DNS on UDP ${endpointText(at)}`, e)))
    socket.bind(at.port, ipText(at.ip), () => {
      // Expected later: an ICMP error for an asker that has gone.
      socket.on('error', () => {})
      let closed = false
      socket.on('close', () => {
        closed = true
      })
      socket.on('message', (query, from) => {
        const ip = plainIp(from.address)
        // Nobody can be answered at port 0, but anybody can write it into a datagram; sending there throws.
        if (ip === null || from.port === 0) return
        const reply = (said: Uint8Array | null): void => {
          if (said !== null && !closed) socket.send(said, from.port, from.address)
        }
        take(query, { from: { ip, port: from.port }, transport: 'udp', reply })
      })
      resolve(socket)
    })
  })
}

function listenTcp(at: Endpoint, take: DnsTake, connections: Set<Socket>): Promise<Server> {
  const server = createServer((c) => {
    connections.add(c)
    c.on('close', () => connections.delete(c))
    // Expected: resets by the asker.
    c.on('error', () => {})
    c.setTimeout(IDLE_MS, () => c.destroy())
    talk(c, take)
  })
  server.maxConnections = MOST_CONNECTIONS
  return new Promise((resolve, reject) => {
    server.once('error', (e) => reject(new IoFault(`listen for DNS on TCP ${endpointText(at)}`, e)))
    server.listen({ port: at.port, host: ipText(at.ip), ipv6Only: !isIp4(at.ip) }, () => resolve(server))
  })
}

/** Messages with a length in front of each, RFC 1035 §4.2.2; several may come in one segment or one in several. */
function talk(c: Socket, take: DnsTake): void {
  const ip = plainIp(c.remoteAddress ?? '')
  const port = c.remotePort ?? 0
  const reply = (said: Uint8Array | null): void => {
    if (said === null) return void c.destroy()
    const head = Buffer.alloc(2)
    head.writeUInt16BE(said.length)
    if (c.writable) c.write(Buffer.concat([head, said]))
  }
  let waiting: Buffer = Buffer.alloc(0)
  c.on('data', (chunk: Buffer) => {
    waiting = Buffer.concat([waiting, chunk])
    while (waiting.length >= 2) {
      const length = waiting.readUInt16BE(0)
      if (length > MOST_QUERY || ip === null) return void c.destroy()
      if (waiting.length < 2 + length) return
      const query = new Uint8Array(waiting.subarray(2, 2 + length))
      waiting = waiting.subarray(2 + length)
      take(query, { from: { ip, port }, transport: 'tcp', reply })
      if (c.destroyed) return
    }
  })
}

function plainIp(text: string): Ip | null {
  const ip = parseIp(text.split('%')[0] ?? '')
  return ip === null || isIp4(ip) ? ip : (unmapped(ip) ?? ip)
}

const IDLE_MS = 10_000
const MOST_CONNECTIONS = 64
/** A question with every option there is fits easily. */
const MOST_QUERY = 4096
