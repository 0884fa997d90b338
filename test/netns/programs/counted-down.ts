// Counted UDP from a server to its callers. `serve PORT PER_SECOND SECONDS [BYTES,…]` sends to whoever asks; `call ADDRESS PORT FLOWS SECONDS`
// asks from so many ports, once more every 200 ms, and prints what each got within SECONDS and half a second. Datagrams carry their number.
import { createSocket } from 'node:dgram'

const [mode = '', ...args] = process.argv.slice(2)
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`)

if (mode === 'serve')
  serve(Number(args[0]), Number(args[1]), Number(args[2]), (args[3] ?? '200').split(',').map(Number))
else
  await Promise.all(
    Array.from({ length: Number(args[2]) }, () => call(args[0] ?? '', Number(args[1]), Number(args[3]))),
  )

function serve(port: number, perSecond: number, seconds: number, sizes: readonly number[]): void {
  const socket = createSocket({ type: 'udp6', sendBufferSize: 4 << 20 })
  const known = new Set<number>()
  socket.on('message', (_, from) => {
    if (known.has(from.port)) return
    known.add(from.port)
    const begun = performance.now()
    const total = perSecond * seconds
    let sent = 0
    const timer = setInterval(() => {
      const due = Math.min(total, sent + 200, Math.floor(((performance.now() - begun) / 1000) * perSecond))
      for (; sent < due; sent++) {
        const bytes = Buffer.alloc(sizes[sent % sizes.length] ?? 200)
        bytes.writeUInt32BE(sent, 0)
        socket.send(bytes, from.port, from.address)
      }
      if (sent === total) clearInterval(timer)
    }, 2)
  })
  socket.bind(port, '::', () => say({ listening: port }))
}

async function call(address: string, port: number, seconds: number): Promise<void> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 })
  let [received, disorder, last] = [0, 0, -1]
  socket.on('message', (bytes) => {
    const number = bytes.readUInt32BE(0)
    received++
    if (number < last) disorder++
    last = Math.max(last, number)
  })
  await new Promise<void>((resolve) => socket.connect(port, address, () => resolve()))
  const asking = setInterval(() => socket.send('more'), 200)
  socket.send('first')
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000 + 500))
  clearInterval(asking)
  say({ from: socket.address().port, received, disorder })
  socket.close()
}
