// Counted UDP. `sink PORT` prints what it got 500 ms after the last datagram of a source; `source ADDRESS PORT PER_SECOND SECONDS
// [FLOWS [BYTES,…]]` prints how many it sent from each of its ports, BYTES (200) by turns. Datagrams carry their number. Gaps are between arrivals.
import { createSocket } from 'node:dgram'

const [mode = '', ...args] = process.argv.slice(2)
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`)

if (mode === 'sink') sink(Number(args[0]))
else {
  const sizes = (args[5] ?? '200').split(',').map(Number)
  const flow = (): Promise<void> => source(args[0] ?? '', Number(args[1]), Number(args[2]), Number(args[3]), sizes)
  await Promise.all(Array.from({ length: Number(args[4] ?? 1) }, flow))
}

function sink(port: number): void {
  type Run = { received: number; disorder: number; last: number; at: number; gapMs: number }
  const runs = new Map<number, Run>()
  const socket = createSocket({ type: 'udp6', recvBufferSize: 4 << 20 })
  socket.on('message', (bytes, from) => {
    const at = performance.now()
    const number = bytes.readUInt32BE(0)
    const run = runs.get(from.port) ?? { received: 0, disorder: 0, last: -1, at, gapMs: 0 }
    runs.set(from.port, run)
    run.received++
    if (number < run.last) run.disorder++
    run.last = Math.max(run.last, number)
    run.gapMs = Math.max(run.gapMs, at - run.at)
    run.at = at
  })
  socket.bind(port, '::', () => say({ listening: port }))
  setInterval(() => {
    for (const [port, run] of runs) {
      if (performance.now() - run.at < 500) continue
      runs.delete(port)
      say({ run: port, ...run })
    }
  }, 50)
}

async function source(
  address: string,
  port: number,
  perSecond: number,
  seconds: number,
  sizes: readonly number[],
): Promise<void> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
  const total = perSecond * seconds
  await new Promise<void>((resolve) => socket.connect(port, address, () => resolve()))
  const begun = performance.now()
  let sent = 0
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      // What a busy machine kept us from sending is not made up for in one burst of everything.
      const due = Math.min(total, sent + 200, Math.floor(((performance.now() - begun) / 1000) * perSecond))
      for (; sent < due; sent++) {
        const bytes = Buffer.alloc(sizes[sent % sizes.length] ?? 200)
        bytes.writeUInt32BE(sent, 0)
        socket.send(bytes)
      }
      if (sent < total) return
      clearInterval(timer)
      resolve()
    }, 2)
  })
  say({ sent, from: socket.address().port })
  await new Promise((resolve) => setTimeout(resolve, 50))
  socket.close()
}
