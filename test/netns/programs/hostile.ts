import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { datagramsOf } from '../faults/pcap.ts'

/**
 * Sends what strangers may send to a UDP port of ours, one at a time, and tells in one JSON line what came back:
 *
 *   hostile.ts ADDRESS PORT PCAP      truncated, oversized, replayed, forged and version-mismatched copies of the capture
 */
const [address = '', port = '', pcap = ''] = process.argv.slice(2)
const record = [...datagramsOf(readFileSync(pcap))].filter((d) => d.length >= 16)
const byClass = new Map<number, Uint8Array[]>()
for (const d of record) {
  const list = byClass.get(d[0] ?? 0) ?? []
  if (list.length < 12) list.push(d)
  byClass.set(d[0] ?? 0, list)
}
const templates = [...byClass.values()].flat()
const attacks: readonly (readonly [string, (d: Uint8Array) => Uint8Array])[] = [
  ['replayed', (d) => d],
  ['truncated', (d) => d.subarray(0, Math.max(1, d.length >> 1))],
  ['header-only', (d) => d.subarray(0, 16)],
  ['one-byte', (d) => d.subarray(0, 1)],
  ['oversized', (d) => joined(d, new Uint8Array(1400))],
  ['huge', (d) => joined(d, new Uint8Array(60_000))],
  ['version', (d) => changed(d, 0, ((d[0] ?? 0) & 15) | 0x20)],
  ['class', (d) => changed(d, 0, 0x1f)],
  ['flags', (d) => changed(d, 1, 0xff)],
  ['forged-tag', (d) => changed(d, d.length - 1, (d.at(-1) ?? 0) ^ 1)],
  ['forged-body', (d) => changed(d, Math.min(20, d.length - 1), (d[20] ?? 0) ^ 0x80)],
  ['forged-id', (d) => changed(d, 9, (d[9] ?? 0) ^ 1)],
  ['random', (d) => Uint8Array.from(d, (b, i) => (i < 1 ? b : (i * 197 + 13) & 255))],
]

const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4')
let answers: number[] = []
socket.on('message', (bytes) => answers.push(bytes.length))
const told = {
  sent: 0,
  sentBytes: 0,
  answered: 0,
  answeredBytes: 0,
  larger: [] as string[],
  classes: [...byClass.keys()],
}
for (const d of templates) {
  for (const [name, change] of attacks) {
    const bytes = change(d.slice())
    answers = []
    await new Promise<void>((resolve) => socket.send(bytes, Number(port), address, () => resolve()))
    await new Promise((resolve) => setTimeout(resolve, 4))
    const back = answers.reduce((a, b) => a + b, 0)
    told.sent++
    told.sentBytes += bytes.length
    told.answered += answers.length
    told.answeredBytes += back
    if (back > bytes.length) told.larger.push(`${name} of class ${d[0]}: ${bytes.length} B asked, ${back} B answered`)
  }
}
socket.close()
process.stdout.write(`${JSON.stringify(told)}\n`)

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const all = new Uint8Array(a.length + b.length)
  all.set(a)
  all.set(b, a.length)
  return all
}

function changed(d: Uint8Array, at: number, byte: number): Uint8Array {
  d[at] = byte
  return d
}
