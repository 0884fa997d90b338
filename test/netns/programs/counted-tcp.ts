// `serve PORT` prints the length and digest of what each caller sends; `send ADDRESS PORT BYTES` sends that many bytes and prints theirs.
import { createHash } from 'node:crypto'
import { connect, createServer } from 'node:net'

const [mode = '', ...args] = process.argv.slice(2)
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
  connect({ host: args[0] ?? '', port: Number(args[1]) }).end(data)
  say({ bytes: data.length, digest: createHash('sha256').update(data).digest('hex') })
}
