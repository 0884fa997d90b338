import { createSocket } from 'node:dgram'
import dnsPacket from 'dns-packet'

/**
 * An ordinary program on a host that asks for names, one at a time, and takes the time. Nothing of the product is in it.
 *
 *   dns-client.ts SERVER PAUSE_MS NAME...
 *
 * Prints one JSON array: per name the milliseconds from the query's sending to its answer (null after 3 s) and what came. The program
 * warms itself up against a socket of its own on the loopback first, so that what is measured is the network.
 */
export type Asked = {
  readonly name: string
  readonly ms: number | null
  readonly rcode: string
  readonly address: string | null
}

const LIMIT_MS = 3000
const WARM_UPS = 200

const [server = '', pauseMs = '0', ...names] = process.argv.slice(2)

const queryOf = (name: string, id: number): Buffer =>
  dnsPacket.encode({ type: 'query', id, flags: 0x100, questions: [{ type: 'A', name, class: 'IN' }] })

async function ask(to: string, port: number, name: string, id: number): Promise<Asked> {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.connect(port, to, resolve))
  const query = queryOf(name, id)
  const answered = new Promise<{ bytes: Buffer | null; at: bigint }>((resolve) => {
    const timer = setTimeout(() => resolve({ bytes: null, at: 0n }), LIMIT_MS)
    socket.on('error', () => {})
    socket.on('message', (bytes) => {
      const at = process.hrtime.bigint()
      clearTimeout(timer)
      resolve({ bytes, at })
    })
  })
  const begun = process.hrtime.bigint()
  socket.send(query)
  const { bytes, at } = await answered
  socket.close()
  if (bytes === null) return { name, ms: null, rcode: 'none', address: null }
  // What the package's decoder gives for a response; it has no types of its own.
  const packet = dnsPacket.decode(bytes) as { rcode: string; answers?: { type: string; data: string }[] }
  const address = packet.answers?.find((a) => a.type === 'A')?.data ?? null
  return { name, ms: Number(at - begun) / 1e6, rcode: packet.rcode, address }
}

const echo = createSocket('udp4')
echo.on('message', (bytes, peer) => echo.send(bytes, peer.port, peer.address))
await new Promise<void>((resolve) => echo.bind(0, '127.0.0.1', resolve))
for (let i = 0; i < WARM_UPS; i++) await ask('127.0.0.1', echo.address().port, 'warm.up', i)
echo.close()

const results: Asked[] = []
for (const [i, name] of names.entries()) {
  results.push(await ask(server, 53, name, i + 1))
  await new Promise((resolve) => setTimeout(resolve, Number(pauseMs)))
}
process.stdout.write(JSON.stringify(results))
