import { systemCalendar, systemClock, systemRandom } from '#io/clock.ts'
import { IoFault } from '#io/fault.ts'
import { type InterfaceAddress, isRoutable, listAddresses, listLinks } from '#io/links.ts'
import { endpointText } from '#ntm-lib/addr/endpoint.ts'
import { type Family, family, isIp4 } from '#ntm-lib/addr/ip.ts'
import { ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import { ip6FromBytes } from '#ntm-lib/addr/ip6.ts'
import { host, type Prefix } from '#ntm-lib/addr/prefix.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import { ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import type { EgressSettings } from '#tt/egress.ts'
import { DEFAULT_PORTS, type NatPlan } from '#tt/nat/plan.ts'
import type { TtConfig } from '../config/schema.ts'
import { startTtPlane } from '../worker/tt-plane.ts'
import type { TtIn, TtOut, TtPlaneConfig, TtTables } from '../worker/tt-words.ts'
import { followAddresses } from './addresses.ts'
import { type Box, openBox } from './box.ts'
import { boxShell } from './box-shell.ts'
import { BoxStatus } from './box-status.ts'
import { offerStatus } from './control.ts'
import { Edge } from './edge.ts'
import { makeRawPair, setUpTun } from './edge-device.ts'
import { startInlineHost } from './inline-host.ts'
import { makeNode } from './ntm-node.ts'
import type { HostParts, PacketHost } from './packet-host.ts'
import { Stopping, tellCounters, type Undo } from './process.ts'
import { rehearse } from './rehearsal.ts'
import { startPacketHost } from './thread-host.ts'
import { TtShell } from './tt-shell.ts'
import { followWays } from './uplinks.ts'

/** Joins the terminator to its node, its edge and its resolvers. Resolves when it is registered and carries packets. */
export async function startTt(
  file: string,
  config: TtConfig,
  log: Log,
  undo: Undo,
  fail: (why: Error) => void,
): Promise<void> {
  const box = openBox({ file, state: config.state, network: config.network }, systemCalendar.today())
  const show = await offerStatus(config.control.socket, 'tt', undo)
  // Before anybody waits for us: what is done for the first time takes several times as long as later.
  rehearse(undo)
  const link = (await listLinks()).find((l) => l.name === config.tt.uplink)
  if (link === undefined) throw new IoFault(`use ${config.tt.uplink}`, new Error('no such interface (tt.uplink)'))
  const addresses = await listAddresses()
  const counters = new CounterMap()
  const made = makeNode({ box, roles: ROLE_TT, underlayMtuBytes: link.mtuBytes, log, counters })
  const inside = config.tt.port === 'tun' ? config.tt.tun : config.tt.veth
  const edge = new Edge(config.state, undo)
  let plan: NatPlan | null = null
  let virtual: readonly Prefix[] = []

  const registered = Promise.withResolvers<void>()
  const parts: HostParts<TtOut> = {
    udp: { port: config.udp.port },
    cells: made.cells,
    log,
    counters,
    onOut: (out) => shell.onOut(out),
    onFail: fail,
  }
  const role: TtPlaneConfig = {
    resolvers: config.tt.resolvers,
    egress: { allow: config.tt.allow, deny: config.tt.deny, ...places(box, addresses) },
    families: familiesOf(config, addresses),
    uplinkMtuBytes: link.mtuBytes,
    seed: new DataView(systemRandom.bytes(4).buffer).getUint32(0),
    flowLog: config.tt.flow_log,
  }
  const host: PacketHost<TtIn> =
    config.tt.port === 'tun'
      ? await startPacketHost<TtIn, TtOut>({ ...parts, kind: 'tt', role, workers: config.packets.workers })
      : // raw-socket works in the main thread only: `packets.workers` means nothing there.
        await startInlineHost<TtPlaneConfig, TtIn, TtOut>({ ...parts, startRole: startTtPlane, role })
  undo.add(() => host.stop())
  tellCounters(
    log,
    counters,
    async () => {
      const { customers, flows, servers } = (await host.ask({ say: 'tables' })) as TtTables
      return { paths: made.node.tunnels.size, customers, flows, servers }
    },
    () => host.refresh(),
  )
  const told = new BoxStatus(made, box)
  show(async () => {
    const tables = (await host.ask({ say: 'tables' })) as TtTables
    const { uplink, port, resolvers } = config.tt
    const edge = {
      uplink,
      port,
      families: familiesOf(config, await listAddresses()),
      resolvers: resolvers.map(endpointText),
    }
    return { ...told.head(), edge, tables, ...told.tail(systemClock.now()) }
  })
  const shell: TtShell = new TtShell({
    made,
    log,
    host,
    touch: () => nodeShell.touch(),
    openEdge: async (ranges) => {
      virtual = [ranges.nodes4, ranges.nodes6]
      if (config.tt.port === 'raw') await makeRawPair(inside, EDGE_MTU, undo)
      await host.ask({ say: 'open', virtual: ranges, edge: { port: config.tt.port, name: inside } })
      if (config.tt.port === 'tun') await setUpTun(inside, EDGE_MTU)
      plan = planOf(config, link.mtuBytes, virtual, addresses)
      await edge.apply(plan)
    },
    ready: registered.resolve,
    fail,
  })
  const nodeShell = boxShell({ made, host, told, undo, onEvent: (event) => shell.onEvent(event) })
  const mover = { made, port: config.udp.port, log, touch: () => nodeShell.touch() }
  followWays(undo, fail, mover, { interfaces: [inside] })
  nodeShell.start()
  await Promise.race([registered.promise, undo.stopping])
  await shell.starting
  if (undo.isStopping) throw new Stopping()

  followAddresses(undo, fail, async () => {
    const now = await listAddresses()
    host.tell({ say: 'addresses', egress: places(box, now), families: familiesOf(config, now) })
    const next = planOf(config, link.mtuBytes, virtual, now)
    // The ruleset names what is announced: only then is it written anew.
    if (undo.isStopping || JSON.stringify(next.nodes) === JSON.stringify(plan?.nodes)) return
    plan = next
    log.info('uplink.families', { families: familiesOf(config, now).join(',') })
    await edge.apply(next)
  })
}

/** Where packets of nodes never go: coordinators, this machine, and (unless allowed) its neighbours. */
const places = (box: Box, addresses: readonly InterfaceAddress[]): Pick<EgressSettings, 'own' | 'subnets'> => ({
  own: [...box.endpoints.map((e) => host(e.ip)), ...addresses.map((a) => host(a.ip))],
  subnets: addresses.map(subnetOf),
})

/** A family counts when the uplink has a usable global address of it: masquerading would send link-local sources out. */
const familiesOf = ({ tt }: TtConfig, addresses: readonly InterfaceAddress[]): readonly Family[] =>
  ([4, 6] as const).filter((f) => addresses.some((a) => a.ifname === tt.uplink && family(a.ip) === f && isRoutable(a)))

function planOf(
  config: TtConfig,
  uplinkMtuBytes: number,
  nodes: readonly Prefix[],
  addresses: readonly InterfaceAddress[],
): NatPlan {
  const { tt, udp } = config
  const families = familiesOf(config, addresses)
  const pool = (f: Family): NatPlan['pool4'] => tt.addresses.find(([first]) => family(first) === f) ?? null
  return {
    table: 'ntm_tt',
    inside: tt.port === 'tun' ? tt.tun : tt.veth,
    uplinks: [tt.uplink],
    nodes: nodes.filter((p) => families.includes(family(p.base))),
    tunnelPort: udp.port,
    ports: DEFAULT_PORTS,
    pool4: pool(4),
    pool6: pool(6),
    innerMtuBytes: mostInner(uplinkMtuBytes, families),
  }
}

/**
 * No tunnel takes more than this (M of `docs/wire.md`), so the kernel itself tells servers; what a narrower tunnel cannot
 * take is answered when its packet comes.
 */
const mostInner = (uplinkMtuBytes: number, families: readonly Family[]): number =>
  Math.max(1280, Math.min(EDGE_MTU, uplinkMtuBytes - (families.includes(4) ? 60 : 80)))

function subnetOf({ ip, bits }: InterfaceAddress): Prefix {
  if (isIp4(ip)) return { base: ip4FromWord(bits === 0 ? 0 : (ip >>> (32 - bits)) * 2 ** (32 - bits)), bits }
  const base = ip6FromBytes(ip)
  for (let i = 0; i < 16; i++) base[i] = (base[i] ?? 0) & (0xff << Math.min(8, Math.max(0, 8 * (i + 1) - bits)))
  return { base, bits }
}

const EDGE_MTU = 1500
