import { IoFault } from '#io/fault.ts'
import { ip, listLinks } from '#io/links.ts'
import { openTun } from '#io/packet-native.ts'
import { openPortable } from '#io/port-portable.ts'
import { run } from '#io/run.ts'
import type { PacketPort } from '#ntm-lib/ports/packet-port.ts'
import type { TtConfig } from '../config/schema.ts'
import type { Undo } from './process.ts'

/** The terminator's door to the edge, and the interface that nodes' prefixes are routed to. */
export type EdgePort = {
  readonly port: PacketPort
  readonly inside: string
  /** Whether the kernel routes what the port sends, and takes a hop for it. */
  readonly kernelSpendsHop: boolean
}

/** Opens the port the configuration asks for. IoFault when the machine refuses. */
export async function openEdgePort(tt: TtConfig['tt'], mtuBytes: number, undo: Undo): Promise<EdgePort> {
  return tt.port === 'tun' ? openTunPort(tt.tun, mtuBytes, undo) : openRawPort(tt.veth, mtuBytes, undo)
}

async function openTunPort(name: string, mtuBytes: number, undo: Undo): Promise<EdgePort> {
  const port = openTun(name)
  undo.add(() => port.close())
  // The kernel has nothing of its own to say to hosts behind tunnels.
  await ip('link', 'set', name, 'addrgenmode', 'none')
  await ip('link', 'set', name, 'mtu', String(mtuBytes), 'up')
  return { port, inside: name, kernelSpendsHop: true }
}

/**
 * SEED 000 §4.3: packets leave by a RAW socket. Replies are routed into one end of a pair of devices that nobody reads,
 * and captured there: on the uplink a capture would see them before the kernel has undone the source NAT.
 */
async function openRawPort(name: string, mtuBytes: number, undo: Undo): Promise<EdgePort> {
  const peer = `${name.slice(0, 13)}-p`
  const links = await listLinks()
  // A killed process leaves its pair behind. Anything else with that name is somebody's.
  if ([name, peer].every((end) => links.some((l) => l.name === end && l.kind === 'veth'))) await ip('link', 'del', name)
  await ip('link', 'add', name, 'type', 'veth', 'peer', 'name', peer)
  undo.add(async () => void (await ip('link', 'del', name)))
  for (const end of [name, peer]) {
    // The kernel has nothing of its own to say there.
    await ip('link', 'set', end, 'addrgenmode', 'none')
    await ip('link', 'set', end, 'mtu', String(mtuBytes), 'arp', 'off', 'up')
  }
  // Captured frames must be whole packets with finished checksums.
  await run('ethtool', ['-K', name, 'tx', 'off', 'gso', 'off', 'tso', 'off']).catch((cause: unknown) => {
    throw new IoFault(`switch offloads of ${name} off (package ethtool)`, cause)
  })
  const port = openPortable(name)
  undo.add(() => port.close())
  return { port, inside: name, kernelSpendsHop: false }
}
