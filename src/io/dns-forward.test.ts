import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { parseIp } from '#ntm-lib/addr/ip.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { DnsForwarder } from './dns-forward.ts'

const LOCAL = parseIp('127.0.0.1')!
const query = Uint8Array.from([0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 9, 9])
const replyTo = (q: Uint8Array, more: readonly number[] = []): Uint8Array =>
  Uint8Array.from([q[0] ?? 0, q[1] ?? 0, 0x81, ...q.subarray(3), ...more])

for (const transport of ['udp', 'tcp'] as const) {
  test(`over ${transport} a question and its answer go byte for byte`, async () => {
    const seen: Uint8Array[] = []
    const server = await resolver(transport, (q) => {
      seen.push(q)
      return [replyTo(q, [0, 255, 7])]
    })
    const { ask } = forwarder([server])
    expect(await ask(transport)).toEqual(replyTo(query, [0, 255, 7]))
    expect(seen).toEqual([query])
  })

  test(`over ${transport} a server that is not there is passed by`, async () => {
    const gone = await resolver(transport, () => [])
    await gone.close()
    const server = await resolver(transport, (q) => [replyTo(q)])
    expect(await forwarder([gone, server]).ask(transport)).toEqual(replyTo(query))
  })
}

test('an answer with another id, or no answer at all but a question, is not taken; the one behind it is', async () => {
  const server = await resolver('udp', (q) => [
    Uint8Array.from([1, 2, ...replyTo(q).subarray(2)]),
    Uint8Array.from(q),
    replyTo(q, [5]),
  ])
  expect(await forwarder([server]).ask('udp')).toEqual(replyTo(query, [5]))
})

test("the next server is asked too when the first is silent; its late answer is nobody's", async () => {
  const silent = await resolver('udp', () => [])
  const server = await resolver('udp', (q) => [replyTo(q), replyTo(q)])
  const { ask, answers } = forwarder([silent, server])
  expect(await ask('udp')).toEqual(replyTo(query))
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(answers()).toBe(1)
})

test('each question leaves from a port of its own', async () => {
  const ports = new Set<number>()
  const server = await resolver('udp', (q, port) => {
    ports.add(port)
    return [replyTo(q)]
  })
  const { ask } = forwarder([server])
  await Promise.all(Array.from({ length: 8 }, () => ask('udp')))
  expect(ports.size).toBe(8)
})

test('without servers, and for what is no message, nothing leaves and it is counted', () => {
  const { dns, counters } = forwarder([])
  dns.forward(query, 'udp', () => {})
  dns.forward(query.subarray(0, 5), 'udp', () => {})
  expect([...counters.values]).toEqual([
    ['dns.drop.no-resolver', 1],
    ['dns.drop.forward-full', 1],
  ])
})

function forwarder(servers: readonly Endpoint[]) {
  const counters = new CounterMap()
  const dns = new DnsForwarder(counters)
  dns.setServers(servers)
  onTestFinished(() => dns.close())
  let count = 0
  const ask = (transport: 'udp' | 'tcp'): Promise<Uint8Array> =>
    new Promise((resolve) =>
      dns.forward(query, transport, (reply) => {
        count++
        resolve(new Uint8Array(reply))
      }),
    )
  return { dns, counters, ask, answers: () => count }
}

/** A resolver on loopback that answers as told. */
async function resolver(
  transport: 'udp' | 'tcp',
  answer: (query: Uint8Array, port: number) => readonly Uint8Array[],
): Promise<Endpoint & { close(): Promise<void> }> {
  if (transport === 'udp') {
    const socket = createSocket('udp4')
    socket.on('message', (q, from) => {
      for (const said of answer(new Uint8Array(q), from.port)) socket.send(said, from.port, from.address)
    })
    await new Promise<void>((done) => socket.bind(0, '127.0.0.1', done))
    let open = true
    const close = (): Promise<void> =>
      new Promise((done) => {
        if (!open) return done()
        open = false
        socket.close(() => done())
      })
    onTestFinished(close)
    return { ip: LOCAL, port: socket.address().port, close }
  }
  const server = createServer((c) => {
    c.on('error', () => {})
    c.on('data', (bytes) => {
      for (const said of answer(new Uint8Array(bytes.subarray(2)), c.remotePort ?? 0)) {
        // In two pieces, as a network may.
        c.write(Uint8Array.from([said.length >> 8, said.length & 255, ...said.subarray(0, 14)]))
        setTimeout(() => c.write(said.subarray(14)), 10)
      }
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const at = server.address()
  const close = (): Promise<void> => new Promise((done) => server.close(() => done()))
  onTestFinished(() => void server.close())
  return { ip: LOCAL, port: typeof at === 'object' && at !== null ? at.port : 0, close }
}
