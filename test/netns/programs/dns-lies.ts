import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { addressRecord, buildAnswer, parseMessage, TYPE } from '#dnsfn/message.ts'
import { isIp4, parseIp } from '#ntm-lib/addr/ip.ts'

/**
 * A DNS server whose answers are what a file says now, over UDP and TCP, TTL 5: `dns-lies.ts PORT FILE`, where FILE is
 * JSON `{ "name": { "addresses": [...], "overTcpOnly"?: true } }`, read anew for every question. What the file does not name does not exist.
 */
type Lies = Readonly<Record<string, { readonly addresses: readonly string[]; readonly overTcpOnly?: boolean }>>

const [port = '53', file = ''] = process.argv.slice(2)
const TTL = 5

function answer(bytes: Uint8Array, tcp: boolean): Uint8Array | null {
  const question = parseMessage(bytes)
  if (question?.question === null || question?.question === undefined) return null
  const { name, type } = question.question
  const lie = (JSON.parse(readFileSync(file, 'utf8')) as Lies)[name]
  const records = (lie?.addresses ?? []).flatMap((text) => {
    const ip = parseIp(text)
    return ip !== null && isIp4(ip) === (type === TYPE.A) ? [addressRecord(name, ip, TTL)] : []
  })
  process.stdout.write(`dns.asked ${name} ${type} ${tcp ? 'tcp' : 'udp'}\n`)
  const cut = lie?.overTcpOnly === true && !tcp
  const out = buildAnswer(question, { rcode: lie === undefined ? 3 : 0, answers: cut ? [] : records })
  if (cut) out[2] = (out[2] ?? 0) | 2
  return out
}

const udp = createSocket('udp6')
udp.on('message', (bytes, from) => {
  const out = answer(bytes, false)
  if (out !== null) udp.send(out, from.port, from.address)
})
const tcp = createServer((stream) => {
  stream.on('error', () => {})
  stream.once('data', (bytes) => {
    const out = answer(bytes.subarray(2), true)
    if (out !== null) stream.end(Buffer.concat([Buffer.of(out.length >> 8, out.length & 255), out]))
  })
})
udp.bind(Number(port), '::', () => tcp.listen(Number(port), '::', () => process.stdout.write('dns.ready\n')))
