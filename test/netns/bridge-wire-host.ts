// An ordinary program on the host. `ask NAME TYPE ID…`: sends one DNS query per id from one socket; `echo ADDRESS`: sends
// a datagram. Prints every answer that came within the time, with its delay in milliseconds.
import { createSocket } from 'node:dgram'
import { addressOf, buildQuery, parseMessage } from '#dnsfn/message.ts'
import { ipText } from '#ntm-lib/addr/ip.ts'

const [what = '', name = '', type = '1', ...ids] = process.argv.slice(2)
const socket = createSocket('udp4')
const answers: unknown[] = []
let sent = 0
socket.on('message', (bytes, from) => {
  const ms = performance.now() - sent
  if (what === 'echo') answers.push({ ms, from: from.address, text: bytes.toString() })
  else {
    const m = parseMessage(bytes)
    const ips = m?.answers.map(addressOf).flatMap((ip) => (ip === null ? [] : [ipText(ip)]))
    answers.push({ ms, id: m?.id, rcode: m?.rcode, ips })
  }
})
socket.bind(0, () => {
  sent = performance.now()
  if (what === 'echo') socket.send('hello through the tunnel', 7777, name)
  for (const id of ids) {
    const query = buildQuery({ id: Number(id), name, type: Number(type), recursionDesired: true })
    if (query !== null) socket.send(query, 53, '10.77.0.1')
  }
})
setTimeout(() => {
  process.stdout.write(JSON.stringify(answers))
  process.exit(0)
}, 700)
