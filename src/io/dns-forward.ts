import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { ipText, isIp4 } from '#ntm-lib/addr/ip.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'

/**
 * Carries DNS messages to resolvers and back, byte for byte. Each question goes from a port of its own, so that only who was asked, and knows
 * port and id, can answer. The next resolver is asked too when one is silent.
 */
export class DnsForwarder {
  readonly #counters: Counters
  readonly #open = new Set<() => void>()
  #servers: readonly Endpoint[] = []

  constructor(counters: Counters) {
    this.#counters = counters
  }

  get servers(): readonly Endpoint[] {
    return this.#servers
  }

  /** In the order in which they are asked; questions under way are not affected. */
  setServers(servers: readonly Endpoint[]): void {
    this.#servers = servers
  }

  /** `answered` is called at most once. Who is answered by nobody hears nothing, as from a resolver that is gone. */
  forward(query: Uint8Array, transport: 'udp' | 'tcp', answered: (reply: Uint8Array) => void): void {
    if (query.length < 12 || this.#open.size >= MOST_OPEN) return this.#counters.count('dns.drop.forward-full')
    if (this.#servers.length === 0) return this.#counters.count('dns.drop.no-resolver')
    const ends: (() => void)[] = []
    const end = (): void => {
      clearTimeout(next)
      clearTimeout(last)
      this.#open.delete(end)
      for (const e of ends) e()
    }
    const done = (reply: Uint8Array): void => {
      if (!this.#open.has(end) || !answers(reply, query)) return
      end()
      answered(reply)
    }
    let next: NodeJS.Timeout | undefined
    const ask = (left: readonly Endpoint[]): void => {
      clearTimeout(next)
      const [server, ...others] = left
      if (server === undefined || !this.#open.has(end)) return
      let failed = false
      const failure = (): void => {
        if (failed) return
        failed = true
        ask(others)
      }
      next = setTimeout(() => ask(others), NEXT_MS)
      ends.push(transport === 'udp' ? askUdp(server, query, done, failure) : askTcp(server, query, done, failure))
    }
    const last = setTimeout(() => {
      this.#counters.count('dns.drop.resolver-silent')
      end()
    }, LAST_MS)
    this.#open.add(end)
    ask(this.#servers.slice(0, MOST_SERVERS))
  }

  close(): void {
    for (const end of [...this.#open]) end()
  }
}

function askUdp(to: Endpoint, query: Uint8Array, done: (reply: Uint8Array) => void, failure: () => void): () => void {
  const socket = createSocket(isIp4(to.ip) ? 'udp4' : 'udp6')
  let open = true
  socket.on('error', failure)
  socket.on('message', (reply) => done(reply))
  // Connected: the kernel lets nobody else's datagrams in, and tells of a port that nobody listens on.
  socket.connect(to.port, ipText(to.ip), () => {
    if (open) socket.send(query)
  })
  return () => {
    if (!open) return
    open = false
    socket.close()
  }
}

/** RFC 7766: one message, its length in front. */
function askTcp(to: Endpoint, query: Uint8Array, done: (reply: Uint8Array) => void, failure: () => void): () => void {
  const socket = connect(to.port, ipText(to.ip))
  let come = Buffer.alloc(0)
  socket.on('error', failure)
  socket.on('end', failure)
  socket.on('connect', () => {
    const head = Buffer.alloc(2)
    head.writeUInt16BE(query.length)
    socket.write(Buffer.concat([head, query]))
  })
  socket.on('data', (chunk: Buffer) => {
    come = Buffer.concat([come, chunk])
    if (come.length < 2 || come.length < 2 + come.readUInt16BE(0)) return
    done(new Uint8Array(come.subarray(2, 2 + come.readUInt16BE(0))))
  })
  return () => socket.destroy()
}

/** A response with the question's id. RFC 5452 §9.1. */
const answers = (reply: Uint8Array, query: Uint8Array): boolean =>
  reply.length >= 12 && reply[0] === query[0] && reply[1] === query[1] && ((reply[2] ?? 0) & 0x80) !== 0

const MOST_OPEN = 512
const MOST_SERVERS = 3
const NEXT_MS = 1500
const LAST_MS = 5000
