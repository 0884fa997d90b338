import { systemCalendar, systemClock } from '#io/clock.ts'
import { Keystore } from '#io/keystore.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import { ROLE_NODE } from '#ntm-lib/wire/certificate.ts'
import type { NodeConfig } from '../config/schema.ts'
import type { TunPlaneConfig, TunPlaneStarted } from '../worker/tun-plane.ts'
import type { TunIn, TunOut } from '../worker/tun-words.ts'
import { openBox } from './box.ts'
import { boxShell } from './box-shell.ts'
import { BoxStatus } from './box-status.ts'
import { offerControl, type Request, type Status } from './control.ts'
import { uplinkMtu } from './node-device.ts'
import { resolverFile } from './node-names.ts'
import { nodeStatus } from './node-status.ts'
import { Terminal } from './node-terminal.ts'
import { makeNode } from './ntm-node.ts'
import { tellCounters, type Undo } from './process.ts'
import { rehearse } from './rehearsal.ts'
import { startPacketHost } from './thread-host.ts'
import { followWays } from './uplinks.ts'

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
  let status = (): Status => ({ starting: true })
  let order = (_: Request): Status | null => null
  const source = { role: 'node', status: () => status(), order: (request: Request) => order(request) }
  await offerControl(config.control.socket, source, undo)
  // What a crash or a power cut left behind: until we serve names again, this machine asks whom it asked before.
  const left = resolverFile(config.dns, store).release()
  if (left !== 'nothing') log.warn('names.released-late', { how: left })
  // Before anybody waits for us: what is done for the first time takes several times as long as later.
  rehearse(undo)
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
  const told = new BoxStatus(made, box)
  const terminal: Terminal = new Terminal({
    ...{ config, store, made, box: told, host, device, log, counters, undo, fail },
    touch: () => nodeShell.touch(),
  })
  status = () => nodeStatus({ ...terminal.facts(), box: told, device, dns: config.dns }, systemClock.now())
  const nodeShell = boxShell({ made, host, told, undo, onEvent: (event) => terminal.onEvent(event) })
  const touch = (): void => {
    terminal.moved()
    nodeShell.touch()
  }
  const uplinks = followWays(undo, fail, { made, port: config.udp.port, log, touch }, { interfaces: [device] })
  order = ({ ask, uplink }) => {
    if (ask !== 'uplink' || (typeof uplink !== 'string' && uplink !== null)) return null
    return { uplink, isWayOut: uplinks.prefer(uplink) }
  }
  nodeShell.start()
  // Ready means: names work. Without its coordinator a terminal has no virtual addresses yet; that is said, and not waited for.
  const waited = new Promise((resolve) => setTimeout(resolve, READY_MS).unref())
  await Promise.race([terminal.registered, waited, undo.stopping])
}

/** What an Ethernet takes: larger inner packets are not let in by any path. */
const DEVICE_MTU = 1500
const READY_MS = 10_000
