import { systemCalendar, systemClock } from '#io/clock.ts'
import { nodeCrypto } from '#io/crypto-node.ts'
import { Keystore } from '#io/keystore.ts'
import { endpointText } from '#ntm-lib/addr/endpoint.ts'
import { rehearse } from '#ntm-lib/negotiate/rehearse.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import { ROLE_NODE } from '#ntm-lib/wire/certificate.ts'
import type { NodeConfig } from '../config/schema.ts'
import type { TunPlaneConfig, TunPlaneStarted } from '../worker/tun-plane.ts'
import type { TunIn, TunOut } from '../worker/tun-words.ts'
import { followAddresses, locate } from './addresses.ts'
import { openBox } from './box.ts'
import { offerControl } from './control.ts'
import { uplinkMtu } from './node-device.ts'
import { resolverFile } from './node-names.ts'
import { NodeShell } from './node-shell.ts'
import { nodeStatus } from './node-status.ts'
import { Terminal } from './node-terminal.ts'
import { makeNode, REHEARSALS } from './ntm-node.ts'
import { tellCounters, type Undo } from './process.ts'
import { startPacketHost } from './thread-host.ts'

/** Joins an NTM terminal's core to its node, its TUN device and this machine's names. Resolves when NTM names work, or after a while. */
export async function startNode(
  file: string,
  config: NodeConfig,
  log: Log,
  undo: Undo,
  fail: (why: Error) => void,
): Promise<void> {
  const box = openBox({ file, state: config.state, network: config.network }, systemCalendar.today())
  const store = new Keystore(config.state)
  await offerControl(config.control.socket, { role: 'node', status: () => status() }, undo)
  // What a crash or a power cut left behind: until we serve names again, this machine asks whom it asked before.
  const left = resolverFile(config.dns, store).release()
  if (left !== 'nothing') log.warn('names.released-late', { how: left })
  // Before anybody waits for us: a first handshake in cold code takes three times as long as the next.
  rehearse(nodeCrypto, systemCalendar.today(), REHEARSALS)
  const counters = new CounterMap()
  const made = makeNode({ box, roles: ROLE_NODE, underlayMtuBytes: await uplinkMtu(), log, counters })
  const role: TunPlaneConfig = { device: config.node.tun, mtuBytes: DEVICE_MTU, addresses: [], asks: true }
  const host = await startPacketHost<TunIn, TunOut>({
    kind: 'tun',
    role,
    udp: { port: config.udp.port },
    workers: config.packets.workers,
    cells: made.cells,
    log,
    counters,
    onOut: (out) => terminal.onOut(out),
    onFail: fail,
  })
  undo.add(() => host.stop())
  tellCounters(
    log,
    counters,
    () => ({ paths: made.node.tunnels.size }),
    () => host.refresh(),
  )
  const { device } = host.started as TunPlaneStarted
  const terminal: Terminal = new Terminal({
    ...{ config, store, made, host, device, log, counters, undo, fail },
    touch: () => nodeShell.touch(),
  })
  const status = (): ReturnType<typeof nodeStatus> => {
    const now = systemClock.now()
    const coordinator = {
      state: made.node.state,
      at: box.endpoints.map(endpointText),
      lastError: terminal.coordinatorError,
    }
    const paths = made.node.tunnels.list(now)
    return nodeStatus({ ...terminal.facts(), device, coordinator, dns: config.dns, paths }, now)
  }
  const nodeShell = new NodeShell({
    node: made.node,
    host,
    clock: systemClock,
    onEvent: (event) => terminal.onEvent(event),
  })
  undo.add(() => nodeShell.stop())
  await locate(made, config.udp.port, [device])
  terminal.moved()
  nodeShell.start()
  followAddresses(undo, fail, async () => {
    if (undo.isStopping || !(await locate(made, config.udp.port, [device]))) return
    log.info('box.moved', { candidates: made.where.candidates.length })
    terminal.moved()
    made.node.changed(systemClock.now())
    nodeShell.touch()
  })
  // Ready means: names work. Without its coordinator a terminal has no virtual addresses yet; that is said, and not waited for.
  const waited = new Promise((resolve) => setTimeout(resolve, READY_MS).unref())
  await Promise.race([terminal.registered, waited, undo.stopping])
}

/** What an Ethernet takes: larger inner packets are not let in by any path. */
const DEVICE_MTU = 1500
const READY_MS = 10_000
