import { createSocket, type Socket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { type Caught, caughtIn } from '../faults/pcap.ts'

/**
 * Somebody on the Internet who has seen everything, and tells in one JSON line what came of it:
 *
 *   eve.ts replay PCAP …                        sends every datagram again to where it went, from addresses of her own
 *   eve.ts forge PCAP TO PORT FROM FROMPORT S   sends forged Tunnel Requests on the Path IDs seen, as fast as she can for S seconds; FROM may be
 *                                               somebody else's address
 */
const [mode = '', ...args] = process.argv.slice(2)
let [sent, sentBytes, answered, answeredBytes] = [0, 0, 0, 0]

if (mode === 'replay') {
  const all = args.flatMap((file) => [...caughtIn(readFileSync(file))])
  const sockets = { 4: await open('udp4', '0.0.0.0', 0), 6: await open('udp6', '::', 0) }
  for (const { family, to, port, bytes } of all) {
    await send(sockets[family], bytes, port, to)
    // A handful in a millisecond: no queue overflows, so each is judged.
    if (sent % 8 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await new Promise((resolve) => setTimeout(resolve, 500))
  sockets[4].close()
  sockets[6].close()
} else {
  const [file = '', to = '', port = '', from = '', fromPort = '', lasting = ''] = args
  const ids = new Map<string, Caught>()
  for (const c of caughtIn(readFileSync(file)))
    if (c.bytes[0] === 0x14) ids.set(Buffer.from(c.bytes.subarray(4, 10)).toString('hex'), c)
  const socket = await open(to.includes(':') ? 'udp6' : 'udp4', from, Number(fromPort))
  const until = performance.now() + Number(lasting) * 1000
  const forged = new Uint8Array(256)
  while (performance.now() < until)
    for (const { bytes } of ids.values()) {
      crypto.getRandomValues(forged)
      forged.set([0x13, (forged[40] ?? 0) & 1 ? 0x81 : 0x01, 0, 2 + (sent % 3)])
      forged.set(bytes.subarray(4, 10), 4)
      forged.set([0, 0, 0, 0, 0, 1 + (sent & 0x7f)], 10)
      await send(socket, forged, Number(port), to)
    }
  socket.close()
}
process.stdout.write(`${JSON.stringify({ sent, sentBytes, answered, answeredBytes })}\n`)

function open(family: 'udp4' | 'udp6', ip: string, port: number): Promise<Socket> {
  const socket = createSocket({ type: family, ...(family === 'udp6' ? { ipv6Only: true } : {}) })
  socket.on('message', (bytes) => {
    answered++
    answeredBytes += bytes.length
  })
  return new Promise((resolve) => socket.bind(port, ip, () => resolve(socket)))
}

function send(socket: Socket, bytes: Uint8Array, port: number, to: string): Promise<void> {
  sent++
  sentBytes += bytes.length
  // Whether it can be sent is not her question.
  return new Promise((resolve) => socket.send(bytes, port, to, () => resolve()))
}
