import { connect, createServer } from 'node:net'

/**
 *   tcp-stream.ts serve ADDRESS PORT     gives each caller 1,000 bytes every 10 ms, each with its number
 *   tcp-stream.ts hear ADDRESS PORT      listens to that; prints a JSON line each 100 ms: { t, chunks, gapMs: longest silence }
 *
 * `hear` ends with exit code 1 when a byte is wrong or the connection ends.
 */
const [mode, address = '', port = ''] = process.argv.slice(2)
const SIZE = 1000

if (mode === 'serve') {
  createServer({ noDelay: true }, (socket) => {
    let n = 0
    const timer = setInterval(() => socket.write(String(n++).padStart(SIZE)), 10)
    socket.on('error', () => {}).on('close', () => clearInterval(timer)) // its end is the listener's to judge
  }).listen(Number(port), address, () => process.stdout.write('stream.ready\n'))
}

if (mode === 'hear') {
  let [text, chunks, gapMs, last] = ['', 0, 0, performance.now()]
  connect(Number(port), address)
    .on('data', (bytes) => {
      gapMs = Math.max(gapMs, performance.now() - last)
      last = performance.now()
      for (text += bytes.toString('latin1'); text.length >= SIZE; text = text.slice(SIZE)) {
        if (Number(text.slice(0, SIZE)) !== chunks++) process.exit(1)
      }
    })
    .on('close', () => process.exit(1))
    .on('error', () => process.exit(1))
  setInterval(() => {
    const t = performance.timeOrigin + performance.now()
    process.stdout.write(`${JSON.stringify({ t, chunks, gapMs: Math.max(gapMs, performance.now() - last) })}\n`)
    gapMs = 0
  }, 100)
}
