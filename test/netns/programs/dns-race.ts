import { createSocket, type Socket } from 'node:dgram'
import { encode } from 'dns-packet'

/**
 *   dns-race.ts SERVER ROUNDS NAME       asks SERVER for NAME's A twice a round: from a port of its own, and from port 53
 *
 * `*` in NAME becomes the query's number. The bridge takes queries but for those from port 53 to port 53, so that both go the
 * same way and differ by the bridge alone. Prints { ms, plainMs }, an entry per round each.
 */
const [server = '', rounds = '', pattern = ''] = process.argv.slice(2)
let n = 0

async function bound(port: number): Promise<Socket> {
  const socket = createSocket('udp4')
  await new Promise<void>((done) => socket.bind(port, done))
  return socket
}

/** Milliseconds until the answer; a round without one ends the program with exit code 1. */
function ask(socket: Socket): Promise<number> {
  const id = 1 + (n % 65_000)
  const name = pattern.replace('*', String(n++))
  const query = encode({ type: 'query', id, flags: 0x100, questions: [{ type: 'A', name }] })
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer for ${name}`)), 3000)
    const begun = performance.now()
    const hear = (bytes: Buffer): void => {
      if (bytes.readUInt16BE(0) !== id) return
      const ms = performance.now() - begun
      clearTimeout(timer)
      socket.off('message', hear)
      resolve(ms)
    }
    socket.on('message', hear)
    socket.send(query, 53, server)
  })
}

const [taken, plain] = [await bound(0), await bound(53)]
const [ms, plainMs]: [number[], number[]] = [[], []]
// The first rounds warm both programs up.
for (let round = -30; round < Number(rounds); round++) {
  const first = round % 2 === 0
  const a = first ? await ask(taken) : 0
  const b = await ask(plain)
  const c = first ? a : await ask(taken)
  if (round < 0) continue
  ms.push(c)
  plainMs.push(b)
}
process.stdout.write(`${JSON.stringify({ ms, plainMs })}\n`)
process.exit(0)
