import { systemCalendar, systemClock, systemRandom } from '#io/clock.ts'
import { IoFault } from '#io/fault.ts'
import { type InterfaceAddress, listAddresses, listLinks } from '#io/links.ts'
import { openUdp } from '#io/udp-native.ts'
import { isIp4 } from '#ntm-lib/addr/ip.ts'
import { ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import { ip6FromBytes } from '#ntm-lib/addr/ip6.ts'
import { host, type Prefix } from '#ntm-lib/addr/prefix.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import { ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import { DEFAULT_PORTS, type NatPlan } from '#tt/nat/plan.ts'
import type { TtConfig } from '../config/schema.ts'
import { openBox } from './box.ts'
import { setUpEdge } from './edge.ts'
import { openEdgePort } from './edge-port.ts'
import { NodeShell } from './node-shell.ts'
import { candidatesOf, makeNode } from './ntm-node.ts'
import { tellCounters, type Undo } from './process.ts'
import { TtShell } from './tt-shell.ts'

/** Joins the terminator to its node, its edge and its resolvers. Resolves when it is registered and carries packets. */
export async function startTt(
  file: string,
  config: TtConfig,
  log: Log,
  undo: Undo,
  fail: (why: Error) => void,
): Promise<void> {
  const box = openBox({ file, state: config.state, network: config.network }, systemCalendar.today())
  const link = (await listLinks()).find((l) => l.name === config.tt.uplink)
  if (link === undefined) throw new IoFault(`use ${config.tt.uplink}`, new Error('no such interface (tt.uplink)'))
  const addresses = await listAddresses()
  const counters = new CounterMap()
  tellCounters(log, counters)
  const made = makeNode({ box, roles: ROLE_TT, underlayMtuBytes: link.mtuBytes, log, counters })
  const candidates = candidatesOf(addresses, config.udp.port, { interfaces: [config.tt.tun], prefixes: [] })
  made.where.candidates = candidates
  const udp = openUdp({ port: config.udp.port })
  undo.add(() => udp.close())

  await new Promise<void>((ready, refused) => {
    const shell = new TtShell({
      made,
      log,
      counters,
      resolvers: config.tt.resolvers,
      egress: {
        allow: config.tt.allow,
        own: [...box.endpoints.map((e) => host(e.ip)), ...addresses.map((a) => host(a.ip)), ...config.tt.deny],
        subnets: addresses.map(subnetOf),
      },
      uplinkMtuBytes: link.mtuBytes,
      send: (to, bytes) => udp.send(to, bytes),
      touch: () => nodeShell.touch(),
      seed: new DataView(systemRandom.bytes(4).buffer).getUint32(0),
      openEdge: async (virtual) => {
        const edge = await openEdgePort(config.tt, EDGE_MTU, undo)
        await setUpEdge(planOf(config, edge.inside, virtual, addresses), undo)
        return edge.port
      },
      ready,
      fail: (why) => {
        refused(why)
        fail(why)
      },
    })
    const nodeShell = new NodeShell({
      node: made.node,
      udp,
      clock: systemClock,
      onEvent: (event) => shell.onEvent(event),
      onInner: (path, bytes) => shell.onInner(path, bytes),
      onBurstEnd: () => shell.flush(),
    })
    undo.add(() => nodeShell.stop())
    undo.add(() => shell.stop())
    nodeShell.start()
  })
}

/** v6 is offered only when the uplink has a global address: masquerading would send link-local sources out. */
function planOf(
  config: TtConfig,
  inside: string,
  nodes: readonly Prefix[],
  addresses: readonly InterfaceAddress[],
): NatPlan {
  const up = addresses.filter((a) => a.ifname === config.tt.uplink && a.scope === 'global')
  return {
    table: 'ntm_tt',
    inside,
    uplinks: [config.tt.uplink],
    nodes: nodes.filter((p) => up.some((a) => isIp4(a.ip) === isIp4(p.base))),
    tunnelPort: config.udp.port,
    ports: DEFAULT_PORTS,
    pool4: null,
    pool6: null,
    innerMtuBytes: null,
  }
}

function subnetOf({ ip, bits }: InterfaceAddress): Prefix {
  if (isIp4(ip)) return { base: ip4FromWord(bits === 0 ? 0 : (ip >>> (32 - bits)) * 2 ** (32 - bits)), bits }
  const base = ip6FromBytes(ip)
  for (let i = 0; i < 16; i++) base[i] = (base[i] ?? 0) & (0xff << Math.min(8, Math.max(0, 8 * (i + 1) - bits)))
  return { base, bits }
}

const EDGE_MTU = 1500
