import { generateKeyPairSync } from 'node:crypto'
import { existsSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { LabError } from '#lab/ip.ts'
import { until } from '#lab/process.ts'
import { fetchDebian, type Missing } from './fetch.ts'
import type { Peer } from './peer.ts'
import { ETHERNET_BYTES, ROUTERS, UDP4_BYTES } from './rooms.ts'
import { tunnelPeer } from './tunnel.ts'

/** WireGuard in userland, Go. Spoken to as `wg` does, over its own socket. */
export function wireguardGo(): Peer | Missing {
  const found = fetchDebian('wireguard-go')
  if ('absent' in found) return found
  return tunnelPeer({
    name: 'wireguard-go',
    version: found.version,
    frameBytes: (inner) => ETHERNET_BYTES + UDP4_BYTES + HEADER_AND_TAG + padded(inner),
    start: async (lab) => {
      const [command, ...first] = found.command('wireguard-go')
      const keys = { a: keyPair(), b: keyPair() }
      const devices = { a: `wg${lab.tag}a`, b: `wg${lab.tag}b` }
      const boxes = []
      for (const [room, other, far] of [
        ['a', 'b', ROUTERS.server.net],
        ['b', 'a', ROUTERS.host.net],
      ] as const) {
        lab.onDispose(() => rmSync(socketOf(devices[room]), { force: true }))
        const program = lab.spawn(room, `wireguard-${room}`, command, [...first, '-f', devices[room]])
        boxes.push({ name: room, pid: program.pid })
        await control(devices[room], [
          `private_key=${keys[room].secret}`,
          `listen_port=${PORT}`,
          `public_key=${keys[other].open}`,
          `endpoint=${ROUTERS[other].outside}:${PORT}`,
          `allowed_ip=${far}`,
        ])
        lab.ip(room, `link set ${devices[room]} mtu ${MTU} up`)
      }
      return { boxes, devices }
    },
  })
}

/** Where it listens, in whatever namespace it lives. */
export const socketOf = (device: string): string => `/var/run/wireguard/${device}.sock`

/** Sends one `set` of the userland API and expects errno 0. */
export async function control(device: string, lines: readonly string[]): Promise<void> {
  const path = socketOf(device)
  await until(`wireguard-go's socket ${path}`, () => (existsSync(path) ? true : null))
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect(path)
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString()
      if (text.endsWith('\n\n')) socket.end()
    })
    socket.on('close', () => resolve(text))
    socket.on('error', (fault) => reject(new LabError(`wireguard-go: ${fault.message}`)))
    socket.write(`set=1\n${lines.join('\n')}\n\n`)
  })
  if (!answer.startsWith('errno=0')) throw new LabError(`wireguard-go refused: ${answer.trim()}`)
}

/** A Curve25519 pair in hex, as the userland API takes it. */
export function keyPair(): { readonly secret: string; readonly open: string } {
  const { privateKey } = generateKeyPairSync('x25519')
  const { d = '', x = '' } = privateKey.export({ format: 'jwk' })
  return { secret: Buffer.from(d, 'base64url').toString('hex'), open: Buffer.from(x, 'base64url').toString('hex') }
}

const PORT = 51820
/** Type, receiver and counter (16 bytes) and the tag (16). */
const HEADER_AND_TAG = 32
/** 1500 less the outer IPv4, UDP and WireGuard headers: the most that fits, a little more than the usual 1420. */
const MTU = 1440
/** WireGuard pads to 16 bytes, but not beyond the device's MTU. */
const padded = (inner: number): number => Math.min(Math.ceil(inner / 16) * 16, Math.max(inner, MTU))
