import { lookup } from 'node:dns/promises'
import { createConnection, createServer } from 'node:net'

/**
 * A conversation over one TCP connection, as a terminal session is.
 *
 *   converse.ts echo PORT               says every line again, both families; prints { talk: 'ready' }
 *   converse.ts call NAME PORT PERIOD   resolves NAME like any program and says a numbered line every PERIOD ms, over one connection
 *
 * The caller prints { talk: 'open', address } once and then, four times a second, { t, said, heard, gapMs }: lines so far, the longest time
 * without a new line heard since the last print (ended or not); { talk: 'wrong', … } when a line is not the next one, { talk: 'closed', … } at the end.
 */
const [mode, ...args] = process.argv.slice(2)
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`)

if (mode === 'echo') {
  const server = createServer((socket) => {
    socket.setNoDelay(true)
    socket.on('error', () => {})
    socket.on('data', (chunk) => socket.write(chunk))
  })
  server.listen(Number(args[0]), '::', () => say({ talk: 'ready' }))
} else {
  const [name = '', port = '', period = '20'] = args
  const { address } = await lookup(name)
  const socket = createConnection({ host: address, port: Number(port), noDelay: true })
  let [said, heard, rest, last, gapMs] = [0, 0, '', performance.now(), 0]
  socket.on('connect', () => {
    say({ talk: 'open', address })
    last = performance.now()
    setInterval(() => socket.write(`${said++}\n`), Number(period))
    setInterval(() => {
      const now = performance.now()
      say({ t: performance.timeOrigin + now, said, heard, gapMs: Math.round(Math.max(gapMs, now - last)) })
      gapMs = 0
    }, 250)
  })
  socket.on('data', (chunk) => {
    const now = performance.now()
    gapMs = Math.max(gapMs, now - last)
    last = now
    const lines = (rest + String(chunk)).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      if (line !== String(heard)) {
        say({ talk: 'wrong', line, expected: heard })
        process.exit(1)
      }
      heard++
    }
  })
  socket.on('error', (fault) => {
    say({ talk: 'closed', why: fault.message })
    process.exit(1)
  })
  socket.on('close', () => {
    say({ talk: 'closed', why: 'by the peer' })
    process.exit(1)
  })
}
