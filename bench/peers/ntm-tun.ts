import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '#lab/netns.ts'
import type { Missing } from './fetch.ts'
import { NTM_HEADER_AND_TAG } from './ntm.ts'
import type { Peer } from './peer.ts'
import { ETHERNET_BYTES, ROUTERS, UDP4_BYTES } from './rooms.ts'
import { tunnelPeer } from './tunnel.ts'

/** Two plain NTM nodes: the product's packet worker over a TUN in each box, a real handshake, no coordinator (`bench/tun-end.ts`). */
export function ntmTun(root: string = ROOT): Peer | Missing {
  const program = join(root, 'bench/tun-end.ts')
  if (!existsSync(program)) return { absent: 'this commit has no plain node' }
  return tunnelPeer({
    name: 'ntm-tun',
    version: 'two nodes over TUN, AES-128-GCM',
    frameBytes: (inner) => ETHERNET_BYTES + UDP4_BYTES + NTM_HEADER_AND_TAG + inner,
    start: async (lab) => {
      const devices = { a: 'ntm0', b: 'ntm0' }
      // The acceptor first: the opener's first attempt finds it.
      const programs = (['b', 'a'] as const).map((room) =>
        lab.spawn(room, `ntm-tun-${room}`, process.execPath, [
          program,
          ...['--role', room === 'a' ? 'opener' : 'acceptor', '--seed', lab.tag, '--device', devices[room]],
          ...['--opener-at', `${ROUTERS.a.outside}:4330`, '--acceptor-at', `${ROUTERS.b.outside}:4330`],
          ...['--opener-inner', ROUTERS.host.net, '--acceptor-inner', ROUTERS.server.net],
        ]),
      )
      await Promise.all(programs.map((one) => one.line(/"ready":true/, 20_000)))
      return { boxes: programs.map(({ pid }, i) => ({ name: i === 0 ? 'b' : 'a', pid })).reverse(), devices }
    },
  })
}
