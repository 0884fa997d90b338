import { createConnection, createServer } from 'node:net'

/**
 * What a terminal session is to the network: one key at a time, each answered before the next.
 *
 *   tcp-keys.ts serve PORT              answers every key with its capital; prints `keys.ready`
 *   tcp-keys.ts type NAME PORT COUNT    prints `keys.done COUNT SLOWEST_MS`; exit 1 after 20 s
 */
const [mode, name = '', port = '', count = ''] = process.argv.slice(2)

if (mode === 'serve') {
  const server = createServer((socket) => {
    socket.setNoDelay(true)
    socket.on('data', (bytes) => socket.write(bytes.toString('latin1').toUpperCase()))
    socket.on('error', () => socket.destroy())
  })
  server.listen(Number(name), '::', () => process.stdout.write('keys.ready\n'))
}

if (mode === 'type') {
  setTimeout(() => process.exit(1), 20_000).unref()
  const socket = createConnection({ host: name, port: Number(port), noDelay: true })
  let typed = 0
  let slowest = 0
  let since = 0
  const type = (): void => {
    since = performance.now()
    socket.write('k')
  }
  socket.on('connect', type)
  socket.on('data', (bytes) => {
    if (bytes.toString() !== 'K') process.exit(1)
    slowest = Math.max(slowest, performance.now() - since)
    if (++typed < Number(count)) return type()
    process.stdout.write(`keys.done ${typed} ${slowest.toFixed(1)}\n`)
    socket.end()
  })
  socket.on('error', (why) => {
    process.stderr.write(`${why.message}\n`)
    process.exit(1)
  })
}
