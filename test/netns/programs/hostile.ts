import { createSocket, type Socket } from 'node:dgram'
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

const family = address.includes(':') ? 'udp6' : 'udp4'
/** A socket for each question, so that a late answer counts for the question it belongs to. */
const asked: { readonly what: string; readonly bytes: number; readonly socket: Socket; readonly answers: number[] }[] =
  []
for (const d of templates) {
  for (const [name, change] of attacks) {
    const bytes = change(d.slice())
    const socket = createSocket(family)
    const answers: number[] = []
    socket.on('message', (answer) => answers.push(answer.length))
    asked.push({ what: `${name} of class ${d[0]}`, bytes: bytes.length, socket, answers })
    await new Promise<void>((resolve) => socket.send(bytes, Number(port), address, () => resolve()))
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
await new Promise((resolve) => setTimeout(resolve, 500))
const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0)
for (const { socket } of asked) socket.close()
const told = {
  sent: asked.length,
  sentBytes: sum(asked.map((a) => a.bytes)),
  answered: sum(asked.map((a) => a.answers.length)),
  answeredBytes: sum(asked.map((a) => sum(a.answers))),
  larger: asked
    .filter((a) => sum(a.answers) > a.bytes)
    .map((a) => `${a.what}: ${a.bytes} B asked, ${sum(a.answers)} B answered`),
  classes: [...byClass.keys()],
}
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
