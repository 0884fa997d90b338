import { IoFault } from '#io/fault.ts'
import { ip, listLinks } from '#io/links.ts'
import { run } from '#io/run.ts'
import type { Undo } from './process.ts'

/** Makes the edge's TUN device, which is open, carry packets: the kernel has nothing of its own to say to hosts behind tunnels. */
export async function setUpTun(name: string, mtuBytes: number): Promise<void> {
  await ip('link', 'set', name, 'addrgenmode', 'none')
  await ip('link', 'set', name, 'mtu', String(mtuBytes), 'up')
}

/**
 * SEED 000 §4.3: packets leave by a RAW socket. Replies are routed into one end of a pair of devices that nobody reads,
 * and captured there: on the uplink a capture would see them before the kernel has undone the source NAT.
 */
export async function makeRawPair(name: string, mtuBytes: number, undo: Undo): Promise<void> {
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
}
