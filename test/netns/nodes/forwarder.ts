import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { caughtIn } from '../faults/pcap.ts'

/**
 * Somebody on the way, at a router, with a quicker line of his own:
 *
 *   forwarder.ts INTERFACE OWN TO PORT SECONDS
 *
 * Sends a copy of every sealed packet that leaves by the interface for TO from OWN, for so many seconds, then listens for two more. Prints in one JSON line what he sent,
 * what came to him, and how long after his last copy the last of it came.
 */
const [link = '', own = '', to = '', port = '', lasting = ''] = process.argv.slice(2)
const socket = createSocket('udp4')
let [sent, sentBytes, got, gotBytes, last, lastGot] = [0, 0, 0, 0, 0, 0]
socket.on('message', (bytes) => {
  got++
  gotBytes += bytes.length
  lastGot = performance.now()
})
await new Promise<void>((resolve) => socket.bind(0, own, () => resolve()))
const filter = `udp and dst host ${to} and dst port ${port}`
const args = ['-i', link, '-Q', 'out', '-U', '--immediate-mode', '-Z', 'root', '-w', '-', filter]
const ear = spawn('tcpdump', args, { stdio: ['ignore', 'pipe', 'ignore'] })
let copying = true
let rest = Buffer.alloc(0)
let isHead = true
ear.stdout.on('data', (chunk: Buffer) => {
  rest = Buffer.concat([rest, chunk])
  const from = isHead ? 24 : 0
  let end = from
  while (end + 16 <= rest.length && end + 16 + rest.readUInt32LE(end + 8) <= rest.length)
    end += 16 + rest.readUInt32LE(end + 8)
  if (end === from) return
  isHead = false
  const whole = Buffer.concat([Buffer.alloc(24), rest.subarray(from, end)])
  rest = rest.subarray(end)
  for (const { bytes } of caughtIn(whole)) {
    if (!copying || bytes[0] !== 0x14) continue
    sent++
    sentBytes += bytes.length
    last = performance.now()
    socket.send(bytes, Number(port), to)
  }
})
await new Promise((resolve) => setTimeout(resolve, Number(lasting) * 1000))
copying = false
await new Promise((resolve) => setTimeout(resolve, 2000))
ear.kill()
socket.close()
process.stdout.write(`${JSON.stringify({ sent, sentBytes, got, gotBytes, lateMs: Math.round(lastGot - last) })}\n`)
