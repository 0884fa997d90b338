import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { fetchDebian, type Missing } from './fetch.ts'
import type { Peer } from './peer.ts'
import { ETHERNET_BYTES, ROUTERS, UDP4_BYTES } from './rooms.ts'
import { tunnelPeer } from './tunnel.ts'

/** Nebula, Go, AES-256-GCM (its only AES): both ends know each other's address, nobody is a lighthouse. */
export function nebula(): Peer | Missing {
  const found = fetchDebian('nebula')
  if ('absent' in found) return found
  return tunnelPeer({
    name: 'nebula',
    version: found.version,
    frameBytes: (inner) => ETHERNET_BYTES + UDP4_BYTES + HEADER_AND_TAG + inner,
    start: async (lab) => {
      const cert = (...args: string[]): void => {
        const [command, ...first] = found.command('nebula-cert')
        execFileSync(command, [...first, ...args], { cwd: lab.dir, stdio: ['ignore', 'ignore', 'pipe'] })
      }
      cert('ca', '-name', 'bench', '-out-crt', 'nebula-ca.pem', '-out-key', 'nebula-ca.key')
      const [command, ...first] = found.command('nebula')
      const device = 'neb0'
      const programs = (['a', 'b'] as const).map((room) => {
        const other = room === 'a' ? 'b' : 'a'
        const behind = { a: ROUTERS.host.net, b: ROUTERS.server.net }
        const [crt, key] = [`nebula-${room}.pem`, `nebula-${room}.key`]
        cert(
          ...['sign', '-name', room, '-networks', `${TUNNEL[room]}/24`, '-unsafe-networks', behind[room]],
          ...['-ca-crt', 'nebula-ca.pem', '-ca-key', 'nebula-ca.key', '-out-crt', crt, '-out-key', key],
        )
        const any = { port: 'any', proto: 'any', host: 'any' }
        // Without `local_cidr` a rule speaks for the tunnel's own address only.
        const rules = [any, { ...any, local_cidr: behind[room] }]
        // JSON is YAML.
        const settings = {
          pki: { ca: join(lab.dir, 'nebula-ca.pem'), cert: join(lab.dir, crt), key: join(lab.dir, key) },
          static_host_map: { [TUNNEL[other]]: [`${ROUTERS[other].outside}:4242`] },
          lighthouse: { am_lighthouse: false, interval: 60, hosts: [] },
          listen: { host: ROUTERS[room].outside, port: 4242 },
          tun: { dev: device, mtu: MTU, unsafe_routes: [{ route: behind[other], via: TUNNEL[other], mtu: MTU }] },
          firewall: { outbound: rules, inbound: rules },
          logging: { level: 'info' },
        }
        const file = lab.file(`nebula-${room}.yml`, JSON.stringify(settings))
        return lab.spawn(room, `nebula-${room}`, command, [...first, '-config', file])
      })
      return {
        boxes: programs.map(({ pid }, i) => ({ name: i === 0 ? 'a' : 'b', pid })),
        devices: { a: device, b: device },
      }
    },
  })
}

const TUNNEL = { a: '10.9.0.1', b: '10.9.0.2' } as const
const HEADER_AND_TAG = 32
/** 1500 less the outer IPv4, UDP and Nebula headers; its default of 1300 would cost it a tenth. */
const MTU = 1440
