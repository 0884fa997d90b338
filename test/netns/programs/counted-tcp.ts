// `serve PORT` prints the length and digest of what each caller sends; `send ADDRESS PORT BYTES [SECONDS]` sends that many bytes, at once or in
// forty parts over at least so many seconds, and prints theirs.
import { createHash } from 'node:crypto'
import { connect, createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

const [mode = '', ...args] = process.argv.slice(2)
const PARTS = 40
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`)

if (mode === 'serve') {
  createServer((socket) => {
    const hash = createHash('sha256')
    let bytes = 0
    socket
      .on('data', (chunk) => {
        hash.update(chunk)
        bytes += chunk.length
      })
      .on('error', () => {}) // What arrived until then is told.
      .on('close', () => say({ bytes, digest: hash.digest('hex') }))
  }).listen(Number(args[0]), '::', () => say({ listening: Number(args[0]) }))
} else {
  const data = Buffer.alloc(Number(args[2]))
  for (let i = 0; i < data.length; i++) data[i] = (Math.imul(i, 2654435761) >>> 13) & 0xff
  const socket = connect({ host: args[0] ?? '', port: Number(args[1]) })
  const part = Math.ceil(data.length / PARTS)
  const seconds = Number(args[3] ?? 0)
  if (seconds === 0) socket.write(data)
  else {
    for (let at = 0; at < data.length; at += part) {
      socket.write(data.subarray(at, at + part))
      await pause((seconds * 1000) / PARTS)
    }
  }
  socket.end()
  say({ bytes: data.length, digest: createHash('sha256').update(data).digest('hex') })
}
