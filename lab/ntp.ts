import { createSocket } from 'node:dgram'

/**
 * A time server (RFC 5905, client/server mode) whose clock is this machine's and so many seconds more: nobody else in a lab has that time.
 *
 *   ntp.ts ADDRESS SECONDS       prints `ntp.ready`, then who asked
 */
const [address = '', more = ''] = process.argv.slice(2)
const moreMs = Number(more) * 1000

const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
socket.on('message', (asked, peer) => {
  // Mode 3 is a client's question; anything else is not for a server.
  if (asked.length < 48 || (asked.readUInt8(0) & 7) !== 3) return
  const now = ntpTime(Date.now() + moreMs)
  const answer = Buffer.alloc(48)
  // No leap second, version 4, mode 4.
  answer.writeUInt8(0x24, 0)
  // Stratum 1, each 64 s, precise to about a millisecond.
  answer.writeUInt8(1, 1)
  answer.writeInt8(6, 2)
  answer.writeInt8(-10, 3)
  answer.write('LAB', 12, 'latin1')
  now.copy(answer, 16)
  asked.copy(answer, 24, 40, 48)
  now.copy(answer, 32)
  now.copy(answer, 40)
  socket.send(answer, peer.port, peer.address)
  process.stdout.write(`ntp.asked ${peer.address}\n`)
})
socket.bind(123, address, () => process.stdout.write('ntp.ready\n'))

/** Seconds since 1900 and their fraction, 32 bits each. */
function ntpTime(ms: number): Buffer {
  const time = Buffer.alloc(8)
  time.writeUInt32BE((Math.floor(ms / 1000) + 2_208_988_800) % 2 ** 32, 0)
  time.writeUInt32BE(Math.floor(((ms % 1000) / 1000) * 2 ** 32), 4)
  return time
}
