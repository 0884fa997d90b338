import { connect, createServer, type Socket } from 'node:net'

/**
 *   tcp-bulk.ts serve ADDRESS PORT BYTES     sends BYTES to each caller and expects as many, all at once
 *   tcp-bulk.ts call ADDRESS PORT BYTES      the other end; ends with 0 when every byte that came was right and none was missing
 */
const [mode, address = '', port = '', bytes = '0'] = process.argv.slice(2)
const TOTAL = Number(bytes)
/** A length that no segment size divides: bytes that end up in another place are wrong bytes. */
const BLOCK = 65_521
/** Three times over, so that any piece of up to 2 * BLOCK bytes lies in it without a turn. */
const PATTERN = Buffer.alloc(3 * BLOCK)
for (let i = 0, x = 1; i < BLOCK; i++) {
  x = (Math.imul(x, 1664525) + 1013904223) >>> 0
  PATTERN[i] = PATTERN[i + BLOCK] = PATTERN[i + 2 * BLOCK] = x >>> 24
}

/** `done` is called once: with a fault, or with null when everything came and was right. */
function exchange(socket: Socket, poured: () => void, done: (fault: string | null) => void): void {
  let [sent, got] = [0, 0]
  const pour = (): void => {
    while (sent < TOTAL) {
      const n = Math.min(BLOCK, TOTAL - sent)
      sent += n
      if (!socket.write(PATTERN.subarray(0, n))) return
    }
    poured()
  }
  socket.on('drain', pour)
  socket.on('data', (part) => {
    const at = got % BLOCK
    if (PATTERN.compare(part, 0, part.length, at, at + part.length) !== 0) done(`wrong byte after ${got}`)
    got += part.length
  })
  socket.on('end', () => done(got === TOTAL ? null : `${got} of ${TOTAL} bytes`))
  socket.on('error', (e) => done(e.message))
  pour()
}

if (mode === 'serve') {
  createServer({ allowHalfOpen: true }, (socket) => {
    let left = 2
    const half = (): void => {
      if (--left === 0) socket.end()
    }
    // Only what was content ends in peace, and only when all was said: the caller sees a reset otherwise.
    exchange(socket, half, (fault) => (fault === null ? half() : socket.resetAndDestroy()))
  }).listen(Number(port), address, () => process.stdout.write('bulk.ready\n'))
}

if (mode === 'call') {
  const socket = connect({ host: address, port: Number(port), allowHalfOpen: true })
  exchange(
    socket,
    () => socket.end(),
    (fault) => {
      if (fault !== null) process.stderr.write(`${fault}\n`)
      process.exit(fault === null ? 0 : 1)
    },
  )
}
