import { systemCalendar, systemClock } from '#io/clock.ts'
import { endpointText } from '#ntm-lib/addr/endpoint.ts'
import { isIp4 } from '#ntm-lib/addr/ip.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import { ROLE_RELAY } from '#ntm-lib/wire/certificate.ts'
import type { RelayConfig } from '../config/schema.ts'
import type { RelayIn, RelayPlaneConfig, RelaySays, RelayShown } from '../worker/relay-words.ts'
import { openBox } from './box.ts'
import { boxShell } from './box-shell.ts'
import { BoxStatus, countsBelow } from './box-status.ts'
import { offerStatus, type Status } from './control.ts'
import { makeNode } from './ntm-node.ts'
import { tellCounters, type Undo } from './process.ts'
import { RelayShell } from './relay-shell.ts'
import { startPacketHost } from './thread-host.ts'
import { followWays } from './uplinks.ts'

/** Joins the relay's packet side to its node. Resolves when it is registered and forwards. */
export async function startRelay(
  file: string,
  config: RelayConfig,
  log: Log,
  undo: Undo,
  fail: (why: Error) => void,
): Promise<void> {
  const box = openBox({ file, state: config.state, network: config.network }, systemCalendar.today())
  const show = await offerStatus(config.control.socket, 'relay', undo)
  const counters = new CounterMap()
  let load = 0
  const made = makeNode({
    box,
    roles: ROLE_RELAY,
    underlayMtuBytes: 1500,
    loadPercent: () => load,
    log,
    counters,
  })
  const announced = config.relay.endpoints
  if (announced.length > 0) {
    made.where.candidates = announced.map((endpoint) => ({
      type: 'local',
      endpoint,
      priority: isIp4(endpoint.ip) ? 100 : 110,
    }))
  }

  const registered = Promise.withResolvers<void>()
  const host = await startPacketHost<RelayIn, never>({
    kind: 'relay',
    role: settingsOf(config),
    workers: 1,
    udp: { port: config.udp.port, bufferBytes: BUFFER_BYTES },
    cells: made.cells,
    log,
    counters,
    onOut: () => {},
    onFail: fail,
  })
  undo.add(() => host.stop())
  const shell = new RelayShell({
    made,
    log,
    ask: async (input) => (await host.ask(input)) as RelaySays,
    onLoad: (percent) => {
      const jumped = Math.abs(percent - load) >= JUMP
      load = percent
      if (!jumped) return
      made.node.changed(systemClock.now())
      nodeShell.touch()
    },
    touch: () => nodeShell.touch(),
    ready: registered.resolve,
    fail,
  })
  tellCounters(
    log,
    counters,
    async () => {
      const { paths, loadPercent } = await shell.look()
      return { paths, loadPercent }
    },
    () => host.refresh(),
  )
  const told = new BoxStatus(made, box)
  show(async () => {
    await host.refresh()
    const { paths, loadPercent } = await shell.look()
    const legs = (await host.ask({ say: 'legs' })) as RelayShown
    const { most_paths: mostPaths, ...limits } = config.relay
    const at = made.where.candidates.map((c) => endpointText(c.endpoint))
    const forwarding = { paths, mostPaths, ...legs, loadPercent, ...forwarded(counters) }
    const { troubles } = told.tail(systemClock.now())
    return {
      ...told.head(),
      at,
      forwarding,
      limits: limitsOf(limits),
      refused: countsBelow(counters, REFUSED),
      troubles,
    }
  })
  const nodeShell = boxShell({ made, host, told, undo, onEvent: (event) => shell.onEvent(event) })
  if (announced.length === 0) {
    followWays(undo, fail, { made, port: config.udp.port, log, touch: () => nodeShell.touch() }, { interfaces: [] })
  }
  nodeShell.start()
  const timer = setInterval(() => void shell.look().catch(fail), LOOK_MS)
  undo.add(() => clearInterval(timer))
  await Promise.race([registered.promise, undo.stopping])
}

const settingsOf = ({ relay }: RelayConfig): RelayPlaneConfig => ({
  mostPaths: relay.most_paths,
  kbitPerSecond: relay.mbit_per_second * 1000,
  packetsPerSecond: relay.packets_per_second,
  pathKbitPerSecond: relay.path_mbit_per_second * 1000,
  pathPacketsPerSecond: relay.path_packets_per_second,
  echoesPerSecond: relay.echoes_per_second,
})

const forwarded = (counters: CounterMap) => ({
  datagrams: counters.get('relay.forward.datagrams'),
  bytes: counters.get('relay.forward.bytes'),
})

/** 0 is none. */
const limitsOf = (l: Omit<RelayConfig['relay'], 'most_paths'>): Status => ({
  mbitPerSecond: l.mbit_per_second,
  packetsPerSecond: l.packets_per_second,
  pathMbitPerSecond: l.path_mbit_per_second,
  pathPacketsPerSecond: l.path_packets_per_second,
  echoesPerSecond: l.echoes_per_second,
})

/** Datagrams that were not forwarded, by reason. */
const REFUSED = 'relay.drop.'
/** A relay is where many paths' bursts meet. */
const BUFFER_BYTES = 16 << 20
const LOOK_MS = 5000
/** Percent of load by which the coordinator's picture would be wrong. */
const JUMP = 20
