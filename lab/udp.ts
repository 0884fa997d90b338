import { createSocket } from 'node:dgram'
import { lookup } from 'node:dns/promises'

/**
 * Ordinary UDP programs that know nothing of the product.
 *
 *   udp.ts echo ADDRESS PORT       sends every datagram back; prints `udp.ready`, then who asked
 *   udp.ts ask NAME PORT TEXT      resolves NAME like any program (getaddrinfo), asks, prints the answer; exit 1 after 5 s
 */
const [mode, place = '', port = '', text = ''] = process.argv.slice(2)

if (mode === 'echo') {
  const socket = createSocket(place.includes(':') ? 'udp6' : 'udp4')
  socket.on('message', (bytes, peer) => {
    process.stdout.write(`udp.asked ${peer.address} ${peer.port} ${bytes.length}\n`)
    socket.send(bytes, peer.port, peer.address)
  })
  socket.bind(Number(port), place, () => process.stdout.write('udp.ready\n'))
}

if (mode === 'ask') {
  const { address, family } = await lookup(place)
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
  let tries = 0
  const timer = setInterval(() => {
    if (++tries < 5) return void socket.send(text, Number(port), address)
    process.stderr.write(`no answer from ${place} (${address}) port ${port}\n`)
    process.exit(1)
  }, 1000)
  socket.on('message', (bytes) => {
    clearInterval(timer)
    process.stdout.write(`${bytes.toString()}\n`)
    socket.close()
  })
  socket.send(text, Number(port), address)
}
