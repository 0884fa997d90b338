import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Lab } from '#lab/netns.ts'
import { fetchDebian, type Missing } from './fetch.ts'
import type { Peer } from './peer.ts'
import { ETHERNET_BYTES, ROUTERS, UDP4_BYTES } from './rooms.ts'
import { tunnelPeer } from './tunnel.ts'

/** OpenVPN in userland (no kernel offload), UDP, AES-128-GCM, one peer on each side. */
export function openvpn(): Peer | Missing {
  const found = fetchDebian('openvpn')
  if ('absent' in found) return found
  return tunnelPeer({
    name: 'openvpn',
    version: found.version,
    frameBytes: (inner) => ETHERNET_BYTES + UDP4_BYTES + HEADER_AND_TAG + inner,
    start: async (lab) => {
      const [command, ...first] = found.command('openvpn')
      const devices = { a: 'ovpn0', b: 'ovpn0' }
      const certificates = { a: certificate(lab, 'a'), b: certificate(lab, 'b') }
      const programs = (['a', 'b'] as const).map((room) => {
        const other = room === 'a' ? 'b' : 'a'
        const own = certificates[room]
        return lab.spawn(room, `openvpn-${room}`, command, [
          ...first,
          ...['--dev', devices[room], '--dev-type', 'tun', '--topology', 'p2p', '--disable-dco'],
          ...['--ifconfig', TUNNEL[room], TUNNEL[other], '--txqueuelen', '1000'],
          ...['--proto', 'udp4', '--local', ROUTERS[room].outside, '--remote', ROUTERS[other].outside],
          ...(room === 'a' ? ['--tls-client'] : ['--tls-server', '--dh', 'none']),
          ...['--cert', own.cert, '--key', own.key, '--peer-fingerprint', certificates[other].fingerprint],
          ...['--data-ciphers', 'AES-128-GCM', '--verb', '3'],
        ])
      })
      await Promise.all(programs.map((program) => program.line(/Initialization Sequence Completed/, 30_000)))
      return { boxes: programs.map(({ pid }, i) => ({ name: i === 0 ? 'a' : 'b', pid })), devices }
    },
  })
}

function certificate(lab: Lab, name: string): { cert: string; key: string; fingerprint: string } {
  const [cert, key] = [join(lab.dir, `openvpn-${name}.pem`), join(lab.dir, `openvpn-${name}.key`)]
  const pair = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key]
  const args = ['req', '-x509', ...pair, '-out', cert, '-days', '2', '-subj', `/CN=${name}`]
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  return { cert, key, fingerprint: new X509Certificate(readFileSync(cert)).fingerprint256 }
}

const TUNNEL = { a: '10.9.0.1', b: '10.9.0.2' } as const
/** Opcode and peer id (4), packet id (4), tag (16): P_DATA_V2 without compression. */
const HEADER_AND_TAG = 24
