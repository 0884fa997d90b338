import type { Peer } from './peer.ts'
import { ETHERNET_BYTES, MIDDLE, ROUTERS, routers, serveAndJoin } from './rooms.ts'

/** No tunnel: both boxes forward in the kernel. */
export function plain(): Peer {
  return {
    name: 'plain',
    version: 'kernel forwarding',
    build: async () => {
      const lab = routers()
      try {
        lab.ip('a', `route add ${ROUTERS.server.net} via ${ROUTERS.b.outside}`)
        lab.ip('b', `route add ${ROUTERS.host.net} via ${ROUTERS.a.outside}`)
        await serveAndJoin(lab, ROUTERS.server.ip4)
      } catch (fault) {
        lab.dispose()
        throw fault
      }
      return {
        name: 'plain',
        lab,
        target: ROUTERS.server.ip4,
        boxes: [],
        middle: MIDDLE,
        frameBytes: (inner) => ETHERNET_BYTES + inner,
        dispose: () => lab.dispose(),
      }
    },
  }
}
