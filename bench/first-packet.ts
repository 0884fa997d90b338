import { createSocket } from 'node:dgram'
import dnsPacket from 'dns-packet'

/**
 * An ordinary program that asks for a name and talks to it. Nothing of the product is in it.
 *
 *   first-packet.ts SERVER NAME PORT     asks SERVER for the A record of NAME, sends one datagram to PORT there at once and waits for its echo
 *
 * Prints { answerMs, echoMs, address }: from the query's sending to its answer, and to the echo. Null after 5 s. Warms itself up on its own
 * loopback first, so that what is measured is the network.
 */
export type FirstPacket = {
  readonly answerMs: number | null
  readonly echoMs: number | null
  readonly address: string | null
}

const LIMIT_MS = 5000
const [server = '', name = '', port = ''] = process.argv.slice(2)
const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6

/** Sends `bytes` there; resolves with the answer and the moments, null when there is none. */
async function exchange(
  to: string,
  at: number,
  bytes: Buffer,
): Promise<{ sent: number; came: number; bytes: Buffer } | null> {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.connect(at, to, resolve))
  const answered = new Promise<{ came: number; bytes: Buffer } | null>((resolve) => {
    const timer = setTimeout(() => resolve(null), LIMIT_MS)
    socket.on('error', () => {})
    socket.on('message', (got) => {
      const came = nowMs()
      clearTimeout(timer)
      resolve({ came, bytes: got })
    })
  })
  const sent = nowMs()
  socket.send(bytes)
  const found = await answered
  socket.close()
  return found === null ? null : { sent, ...found }
}

const query = dnsPacket.encode({ type: 'query', id: 1, flags: 0x100, questions: [{ type: 'A', name, class: 'IN' }] })
const addressIn = (bytes: Buffer): string | null => {
  // What the package's decoder gives for a response; it has no types of its own.
  const packet = dnsPacket.decode(bytes) as { answers?: { type: string; data: string }[] }
  return packet.answers?.find((a) => a.type === 'A')?.data ?? null
}

const echo = createSocket('udp4')
echo.on('message', (bytes, peer) => echo.send(bytes, peer.port, peer.address))
await new Promise<void>((resolve) => echo.bind(0, '127.0.0.1', resolve))
for (let i = 0; i < 100; i++) addressIn((await exchange('127.0.0.1', echo.address().port, query))?.bytes ?? query)
echo.close()

const asked = await exchange(server, 53, query)
const address = asked === null ? null : addressIn(asked.bytes)
const first = address === null ? null : await exchange(address, Number(port), Buffer.from('first'))
const result: FirstPacket = {
  answerMs: asked === null ? null : asked.came - asked.sent,
  echoMs: asked === null || first === null ? null : first.came - asked.sent,
  address,
}
process.stdout.write(JSON.stringify(result))
