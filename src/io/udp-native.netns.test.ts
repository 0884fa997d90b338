import { expect, onTestFinished, test } from 'vitest'
import { type Endpoint, endpointText } from '#ntm-lib/addr/endpoint.ts'
import { type Ip, parseIp } from '#ntm-lib/addr/ip.ts'
import { openUdp, type UdpError, type UdpOptions, type UdpPort } from './udp-native.ts'

const V4 = addr('127.0.0.1')
const V6 = addr('::1')

test('one socket talks to peers of both families and sees IPv4 peers as IPv4', async () => {
  const server = open({ port: 0 })
  const seen: string[] = []
  server.onDatagram((from, bytes) => {
    seen.push(`${endpointText(from)} ${bytes.length}`)
    server.send(from, bytes)
  })
  for (const ip of [V4, V6]) {
    const client = open({ port: 0, address: ip })
    const answers: string[] = []
    client.onDatagram((from, bytes) => answers.push(`${endpointText(from)} ${Buffer.from(bytes)}`))
    client.send({ ip, port: server.port }, Buffer.from('hello'))
    await until(() => answers.length === 1)
    expect(answers).toEqual([`${endpointText({ ip, port: server.port })} hello`])
    expect(seen.at(-1)).toBe(`${endpointText({ ip, port: client.port })} 5`)
  }
})

test('datagrams of one turn leave together, in order, small and large, beyond one batch', async () => {
  const [a, b] = [open({ port: 0, address: V4 }), open({ port: 0, address: V4 })]
  const got: string[] = []
  b.onDatagram((_, bytes) => got.push(`${bytes[0]}:${bytes.length}`))
  const want: string[] = []
  const memory = new Uint8Array(20_000)
  for (let n = 0; n < 200; n++) {
    const bytes = n % 50 === 25 ? 20_000 : 10 + n
    memory[0] = n
    // The same memory each time: it may be reused as soon as send returns.
    a.send({ ip: V4, port: b.port }, memory.subarray(0, bytes))
    want.push(`${n}:${bytes}`)
  }
  expect(a.counters.out).toBeGreaterThan(0)
  expect(a.counters.out).toBeLessThan(200)
  await until(() => got.length === 200)
  expect(got).toEqual(want)
  expect(a.counters.out).toBe(200)
})

test('a closed peer port is an error told with its endpoint; the other peer notices nothing', async () => {
  for (const ip of [V4, V6]) {
    const [a, b] = [open({ port: 0, address: ip }), open({ port: 0, address: ip })]
    const closed = openUdp({ port: 0, address: ip })
    const nobody: Endpoint = { ip, port: closed.port }
    closed.close()
    const told: UdpError[] = []
    a.onError((error) => told.push(error))
    a.onDatagram(() => {})
    let got = 0
    b.onDatagram(() => got++)
    for (let i = 0; i < 10; i++) {
      a.send(nobody, Uint8Array.of(1))
      a.flush()
      a.send({ ip, port: b.port }, Uint8Array.of(2))
      a.flush()
    }
    await until(() => got === 10 && told.length > 0)
    expect(told[0]).toEqual({ to: nobody, code: 'ECONNREFUSED', pathMtuBytes: null })
    expect(a.errors.get('ECONNREFUSED')).toBeGreaterThan(0)
    expect(a.counters.refusedOut).toBe(0)
  }
})

test('a datagram that no UDP packet can hold is refused and counted, the next one goes', async () => {
  const [a, b] = [open({ port: 0, address: V4 }), open({ port: 0, address: V4 })]
  let got = 0
  b.onDatagram((_, bytes) => {
    got += bytes.length
  })
  a.send({ ip: V4, port: b.port }, new Uint8Array(70_000))
  a.send({ ip: V4, port: b.port }, new Uint8Array(7))
  await until(() => got > 0)
  expect(got).toBe(7)
  expect(a.counters.refusedOut).toBe(1)
})

test('a port in use is an IoFault with the code', () => {
  const first = open({ port: 0, address: V4 })
  expect(() => openUdp({ port: first.port, address: V4 })).toThrow(expect.objectContaining({ code: 'EADDRINUSE' }))
})

test('an IPv4-only socket refuses an IPv6 peer and goes on', async () => {
  const [a, b] = [open({ port: 0, family: 4 }), open({ port: 0, address: V4 })]
  let got = 0
  b.onDatagram(() => got++)
  a.send({ ip: V6, port: b.port }, Uint8Array.of(1))
  a.send({ ip: V4, port: b.port }, Uint8Array.of(1))
  await until(() => got === 1)
  expect(a.counters.refusedOut).toBe(1)
})

test('closing from within a datagram is calm; a closed port sends nothing', async () => {
  const [a, b] = [open({ port: 0, address: V4 }), open({ port: 0, address: V4 })]
  let got = 0
  b.onDatagram(() => {
    got++
    b.close()
    b.close()
  })
  for (let i = 0; i < 5; i++) a.send({ ip: V4, port: b.port }, Uint8Array.of(i))
  await until(() => got > 0)
  expect(got).toBe(1)
  b.send({ ip: V4, port: a.port }, Uint8Array.of(1))
  expect(b.counters.out).toBe(0)
})

function open(options: UdpOptions): UdpPort {
  const port = openUdp(options)
  onTestFinished(() => port.close())
  return port
}

function addr(text: string): Ip {
  const ip = parseIp(text)
  if (ip === null) throw new Error(text)
  return ip
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !holds(); i++) await new Promise((resolve) => setTimeout(resolve, 10))
  expect(holds()).toBe(true)
}
