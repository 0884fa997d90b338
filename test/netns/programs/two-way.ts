import { createSocket } from 'node:dgram'
import { lookup } from 'node:dns/promises'

/**
 * Numbered datagrams both ways between two programs, each of which counts what it sent and what it got.
 *
 *   two-way.ts take PORT PERIOD_MS             answers whoever comes first with a stream of its own; both families
 *   two-way.ts call NAME PORT PERIOD_MS [down] resolves NAME like any program; `down`: only asks, every 50 ms until it hears something
 *
 * Prints { flow: 'ready' | 'open' }. SIGUSR2 ends the sending; what is under way may still arrive. SIGINT ends all and prints
 * { sent: [ms], got: [number, ms, ms][] }: when each was sent, what came in which order, when it left there and when it was here.
 * Milliseconds since 1970, of a clock that all processes of a machine share.
 */
const [mode = '', ...args] = process.argv.slice(2)
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`)
const now = (): number => performance.timeOrigin + performance.now()
const ASK = Buffer.from('ask')
const sent: number[] = []
const got: [number, number, number][] = []
let sending: NodeJS.Timeout | undefined

const socket = createSocket({ type: 'udp6', recvBufferSize: 4 << 20, sendBufferSize: 4 << 20 })
socket.on('error', () => {}) // An ICMP error is the network's word about one datagram, which is then missing.
socket.on('message', (bytes) => {
  if (bytes.length >= BYTES) got.push([bytes.readUInt32BE(0), bytes.readDoubleBE(4), now()])
})
process.on('SIGUSR2', () => clearInterval(sending))
process.on('SIGINT', () => {
  process.stdout.write(`${JSON.stringify({ sent, got })}\n`, () => process.exit(0))
})

/** One datagram every `periodMs`; a timer that fires late makes up for it, so that it is as many as were asked for. */
function send(periodMs: number, port: number, address: string): void {
  const begun = performance.now()
  let made = 0
  sending = setInterval(() => {
    const due = Math.min(made + MOST_AT_ONCE, Math.floor((performance.now() - begun) / periodMs))
    for (; made < due; made++) {
      const bytes = Buffer.alloc(BYTES)
      bytes.writeUInt32BE(sent.length, 0)
      const at = now()
      bytes.writeDoubleBE(at, 4)
      sent.push(at)
      socket.send(bytes, port, address)
    }
  }, periodMs)
}

const BYTES = 200
const MOST_AT_ONCE = 5

if (mode === 'take') {
  socket.once('message', (_, from) => send(Number(args[1]), from.port, from.address))
  socket.bind(Number(args[0]), '::', () => say({ flow: 'ready' }))
} else {
  const [name = '', port, period, only] = args
  const found = await lookup(name)
  const address = found.family === 4 ? `::ffff:${found.address}` : found.address
  const asking = setInterval(() => {
    if (got.length > 0) clearInterval(asking)
    else socket.send(ASK, Number(port), address)
  }, 50)
  socket.once('message', () => {
    say({ flow: 'open', address })
    if (only !== 'down') send(Number(period), Number(port), address)
  })
  socket.bind(0, '::')
}
