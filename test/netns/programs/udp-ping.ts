import { createSocket } from 'node:dgram'
import { lookup } from 'node:dns/promises'

/**
 *   udp-ping.ts NAME PORT PERIOD       resolves NAME once, sends a numbered datagram every PERIOD ms to an echo there
 *
 * Prints { ping: 'ready' }, then one line per second: { t: ms since 1970, first, sent, back, slowestMs } of the datagrams numbered from
 * `first` on that were sent in that second, two seconds after it; `back` counts each once, `twice` those that came again.
 */
const [name = '', port = '', period = '5'] = process.argv.slice(2)
const { address, family } = await lookup(name, { family: 4 })
const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
const sentAt: number[] = []
const tookMs: number[] = []
let [twice, first] = [0, 0]
const now = (): number => performance.timeOrigin + performance.now()

socket.on('message', (bytes) => {
  const n = bytes.readUInt32BE(0)
  if (tookMs[n] !== undefined) twice++
  else tookMs[n] = now() - (sentAt[n] ?? Number.NaN)
})
await new Promise<void>((done) => socket.connect(Number(port), address, () => done()))
process.stdout.write('{"ping":"ready"}\n')
setInterval(() => {
  const bytes = Buffer.alloc(100)
  bytes.writeUInt32BE(sentAt.length, 0)
  sentAt.push(now())
  socket.send(bytes)
}, Number(period))
setInterval(() => {
  const [from, to, t] = [first, sentAt.length, now()]
  first = to
  setTimeout(() => {
    const back = tookMs.slice(from, to).filter((ms) => ms !== undefined)
    const slowestMs = Math.round(Math.max(0, ...back))
    process.stdout.write(
      `${JSON.stringify({ t, first: from, sent: to - from, back: back.length, twice, slowestMs })}\n`,
    )
  }, 2000)
}, 1000)
