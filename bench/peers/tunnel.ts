import type { Lab } from '#lab/netns.ts'
import { until } from '#lab/process.ts'
import type { Arena, BoxProcess, Peer } from './peer.ts'
import { MIDDLE, ROUTERS, routers, serveAndJoin } from './rooms.ts'

export type TunnelPlan = {
  readonly name: string
  readonly version: string
  readonly frameBytes: Arena['frameBytes']
  /** Starts both boxes' programs; each must give its room a network device of the name it returns. */
  start(
    lab: Lab,
  ): Promise<{ readonly boxes: readonly BoxProcess[]; readonly devices: { readonly a: string; readonly b: string } }>
}

/** A peer whose boxes are routers with a tunnel device each, which the routes to the other side lead into. */
export function tunnelPeer(plan: TunnelPlan): Peer {
  return {
    name: plan.name,
    version: plan.version,
    build: async () => {
      const lab = routers()
      try {
        const { boxes, devices } = await plan.start(lab)
        for (const [room, net] of [
          ['a', ROUTERS.server.net],
          ['b', ROUTERS.host.net],
        ] as const) {
          const device = devices[room]
          await until(`${device} of ${plan.name}`, async () =>
            (await lab.run(room, 'ip', ['link', 'show', 'dev', device])).code === 0 ? true : null,
          )
          lab.ip(room, `link set ${device} up`, `route replace ${net} dev ${device}`)
        }
        await serveAndJoin(lab, ROUTERS.server.ip4)
        return {
          name: plan.name,
          lab,
          target: ROUTERS.server.ip4,
          boxes,
          middle: MIDDLE,
          frameBytes: plan.frameBytes,
          dispose: () => lab.dispose(),
        }
      } catch (fault) {
        process.stderr.write(`bench: ${plan.name}: its logs are in ${lab.keepLogs(`failed-${plan.name}`)}\n`)
        lab.dispose()
        throw fault
      }
    },
  }
}
