// Makes a relay forward from one end to the other, then leaves the ports to `relayload`: ntm|turn FROM PORT TO PORT RELAY PORT

import { randomBytes } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { nodeCrypto } from '#io/crypto-node.ts'
import { pathId } from '#ntm-lib/addr/ids.ts'
import { signLeg } from '#ntm-lib/crypto/relay-leg.ts'
import { decodeRelayLeg, encodeRelayLeg } from '#ntm-lib/wire/relay-leg.ts'
import { RELAY_PATH } from './relay-path.ts'

const [kind, from, fromPort, to, toPort, relay, relayPort] = process.argv.slice(2) as string[]
const TAG = new Uint8Array(16)
const COOKIE = [0x21, 0x12, 0xa4, 0x42]

async function bound(address: string, port: string): Promise<Socket> {
  const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', reuseAddr: true })
  socket.bind(Number(port), address)
  await once(socket, 'listening')
  return socket
}

/** Sends until something comes that `read` makes sense of. */
async function ask<T>(socket: Socket, bytes: Uint8Array, read: (answer: Buffer) => T | null): Promise<T> {
  for (let attempt = 0; attempt < 10; attempt++) {
    socket.send(bytes, Number(relayPort), relay)
    const got = await Promise.race([
      new Promise<T>((resolve) =>
        socket.on('message', (m) => {
          const value = read(m)
          if (value !== null) resolve(value)
        }),
      ),
      new Promise<null>((resolve) => setTimeout(resolve, 300, null)),
    ])
    socket.removeAllListeners('message')
    if (got !== null) return got
  }
  throw new Error(`${kind} relay does not answer`)
}

async function bindLeg(address: string, port: string, direction: 0 | 1): Promise<void> {
  const socket = await bound(address, port)
  const key = RELAY_PATH.keys[direction]
  const head = { path: pathId(RELAY_PATH.id), direction, seq: Date.now(), tag: TAG }
  const bind = signLeg(nodeCrypto, key, encodeRelayLeg({ kind: 'bind', ...head, nonce: nodeCrypto.random(8) }), false)
  const cookie = await ask(socket, bind, (m) => {
    const d = decodeRelayLeg(new Uint8Array(m))
    return d.ok && d.value.kind === 'challenge' ? d.value.cookie : null
  })
  const confirm = signLeg(nodeCrypto, key, encodeRelayLeg({ kind: 'confirm', ...head, cookie }), false)
  await new Promise((resolve) => socket.send(confirm, Number(relayPort), relay, resolve))
  socket.close()
}

/** RFC 8656: Allocate and ChannelBind; the far end is a plain UDP peer. */
async function bindChannel(): Promise<void> {
  const socket = await bound(from as string, fromPort as string)
  const message = (type: number, attributes: Buffer): Buffer => {
    const head = Buffer.alloc(20)
    head.writeUInt16BE(type, 0)
    head.writeUInt16BE(attributes.length, 2)
    head.writeUInt32BE(0x2112a442, 4)
    randomBytes(12).copy(head, 8)
    return Buffer.concat([head, attributes])
  }
  const answered = (good: number, also: number) => (m: Buffer) => {
    const type = m.readUInt16BE(0)
    return type === good || type === also ? type : null
  }
  const udp = Buffer.from('0019000411000000', 'hex')
  // An allocation that is there already is refused as 437, and used on.
  await ask(socket, message(0x0003, udp), answered(0x0103, 0x0113))
  const peer = Buffer.from('000c000440000000' + '0012000800010000' + '00000000', 'hex')
  peer.writeUInt16BE(Number(toPort) ^ 0x2112, 14)
  const octets = (to as string).split('.').map(Number)
  for (let i = 0; i < 4; i++) peer[16 + i] = (octets[i] ?? 0) ^ (COOKIE[i] ?? 0)
  const type = await ask(socket, message(0x0009, peer), answered(0x0109, 0x0119))
  if (type !== 0x0109) throw new Error('ChannelBind refused')
  socket.close()
}

if (kind === 'ntm') {
  await bindLeg(from as string, fromPort as string, 0)
  await bindLeg(to as string, toPort as string, 1)
} else await bindChannel()
