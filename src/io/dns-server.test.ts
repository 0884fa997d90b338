import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import { serveDns } from './dns-server.ts'
import { IoFault } from './fault.ts'

const LOOPBACK = ip4FromWord(0x7f000001)

/** A server on a port that was free a moment ago; it answers with the question reversed. */
async function serve(): Promise<number> {
  const port = await freePort()
  const server = await serveDns([{ ip: LOOPBACK, port }], (q) => (q[0] === 0 ? null : Uint8Array.from(q).reverse()))
  onTestFinished(() => server.close())
  return port
}

test('answers over UDP, and not at all what deserves no answer', async () => {
  const port = await serve()
  const socket = createSocket('udp4')
  onTestFinished(() => void socket.close())
  const heard: Buffer[] = []
  socket.on('message', (m) => heard.push(m))
  socket.send(Buffer.from([0, 1]), port, '127.0.0.1')
  socket.send(Buffer.from([1, 2, 3]), port, '127.0.0.1')
  await expect.poll(() => heard.map((h) => [...h])).toEqual([[3, 2, 1]])
})

test('TCP: several messages in one segment, one message in several', async () => {
  const port = await serve()
  const c = connect(port, '127.0.0.1')
  onTestFinished(() => void c.destroy())
  let heard = Buffer.alloc(0)
  c.on('data', (d) => {
    heard = Buffer.concat([heard, d])
  })
  c.write(Buffer.from([0, 2, 1, 2, 0, 1, 9, 0]))
  await expect.poll(() => [...heard]).toEqual([0, 2, 2, 1, 0, 1, 9])
  c.write(Buffer.from([2, 5]))
  c.write(Buffer.from([6]))
  await expect.poll(() => [...heard]).toEqual([0, 2, 2, 1, 0, 1, 9, 0, 2, 6, 5])
})

test('TCP: an absurd length ends the connection', async () => {
  const port = await serve()
  const c = connect(port, '127.0.0.1')
  const closed = new Promise((resolve) => c.on('close', resolve))
  c.on('error', () => {})
  c.write(Buffer.from([0xff, 0xff, 1]))
  await closed
})

test('a port in use says which, and leaves nothing open', async () => {
  const port = await serve()
  const other = await freePort()
  const both = [
    { ip: LOOPBACK, port: other },
    { ip: LOOPBACK, port },
  ]
  await expect(serveDns(both, () => null)).rejects.toThrow(`listen for DNS on UDP 127.0.0.1:${port}`)
  await expect(serveDns(both, () => null)).rejects.toBeInstanceOf(IoFault)
  const again = await serveDns([{ ip: LOOPBACK, port: other }], () => null)
  await again.close()
})

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4')
    socket.bind(0, '127.0.0.1', () => {
      const { port } = socket.address()
      socket.close(() => resolve(port))
    })
  })
}
