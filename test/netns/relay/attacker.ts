import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { datagramsOf } from '../faults/pcap.ts'

/**
 * Sends a relay what somebody who has seen everything may send it, from an address that is no end's, and tells in one JSON line what came
 * back to that address:
 *
 *   attacker.ts FROM RELAY PORT PCAP     FROM may be another's address: then nothing comes back here
 *
 * Replays of all classes, packets of sniffed Path IDs with new counters, Binds of sniffed paths with later seqs and no key.
 */
const MARKED_BYTES = 777
const [from = '', relay = '', port = '', pcap = ''] = process.argv.slice(2)
const seen = [...datagramsOf(readFileSync(pcap))].filter((d) => d.length >= 16 && (d[0] ?? 0) >> 4 === 1)
const byKind = Map.groupBy(seen, (d) => `${d[0]} ${(d[1] ?? 0) & 0x87}`)
const some = [...byKind.values()].flatMap((all) => all.slice(-10)).map((d) => Uint8Array.from(d))
const socket = createSocket(relay.includes(':') ? 'udp6' : 'udp4')
let [sent, sentBytes, answered, answeredBytes] = [0, 0, 0, 0]
socket.on('message', (bytes) => {
  answered++
  answeredBytes += bytes.length
})
await new Promise<void>((resolve) => socket.bind(4330, from, resolve))

for (const d of some) {
  await send(d)
  const ofPath = (d[0] ?? 0) === 0x13 || (d[0] ?? 0) === 0x14
  if (ofPath) {
    // Of a length that nobody else sends, so that it would be known again behind the relay.
    const forged = new Uint8Array(MARKED_BYTES).fill(0xee)
    forged.set(d.subarray(0, 16))
    forged[0] = 0x14
    forged[1] = (d[1] ?? 0) & 0x80
    for (let k = 0; k < 20; k++) await send(forged)
    forged[1] = (forged[1] ?? 0) ^ 0x80
    for (let k = 0; k < 20; k++) await send(forged)
  }
  if ((d[0] ?? 0) === 0x15 && d.length === 64) {
    const later = d.slice()
    later[10] = 0x7f
    await send(later)
    later.fill(0, 48)
    await send(later)
  }
}
await new Promise((resolve) => setTimeout(resolve, 500))
socket.close()
process.stdout.write(`${JSON.stringify({ kinds: [...byKind.keys()], sent, sentBytes, answered, answeredBytes })}\n`)

async function send(bytes: Uint8Array): Promise<void> {
  if (sent % 10 === 9) await new Promise((resolve) => setTimeout(resolve, 2))
  sent++
  sentBytes += bytes.length
  return new Promise((resolve) => socket.send(bytes, Number(port), relay, () => resolve()))
}
