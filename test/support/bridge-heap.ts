// Prints how many bytes of heap a packet of a known flow costs the bridge's core, per direction and family. A program of its own:
// what a test runner wraps around modules is not the packet path's.

import { ipFrame } from '#bridge/frame.ts'
import { packet4, packet6, tcp } from '#ntm-lib/packet/build.ts'
import { slotAt } from '#ntm-lib/ports/packet-port.ts'
import { hostIp, hostIp6, server4, server6, up, vip4, vip6, world } from './bridge-world.ts'

const WARM = 100_000
const PACKETS = 100_000

const w = world()
w.route()
const at = slotAt(w.batch, 0)
const payload = tcp(1, 2, 0x10, new Uint8Array(1300))
const packets = {
  'IPv4 from the host': ipFrame(up, packet4({ source: hostIp, destination: server4, protocol: 6, payload })),
  'IPv6 from the host': ipFrame(up, packet6({ source: hostIp6, destination: server6, protocol: 6, payload })),
  'IPv4 from the tunnel': packet4({ source: server4, destination: vip4, protocol: 6, payload }),
  'IPv6 from the tunnel': packet6({ source: server6, destination: vip6, protocol: 6, payload }),
}
const said = Object.entries(packets).map(([name, bytes]) => [name, bytesPerPacket(bytes, name.endsWith('host'))])
process.stdout.write(JSON.stringify(Object.fromEntries(said)))

function bytesPerPacket(bytes: Uint8Array, fromHost: boolean): number {
  const verdicts = new Set<string>()
  // Optimised code only: what the interpreter makes on the way there is not the packet path's.
  run(bytes, fromHost, WARM)
  const rounds: number[] = []
  for (let round = 0; round < 5; round++) {
    const before = process.memoryUsage().heapUsed
    verdicts.add(run(bytes, fromHost, PACKETS))
    rounds.push((process.memoryUsage().heapUsed - before) / PACKETS)
  }
  if ([...verdicts].join() !== (fromHost ? 'to-tunnel' : 'to-host')) throw new Error([...verdicts].join())
  // A collection within a round makes it negative, a compilation makes it large: the middle one tells.
  return rounds.sort((a, b) => a - b)[2] ?? Number.NaN
}

/** Puts the packet there `count` times, plain and in super-packets by turns; the last verdict. */
function run(bytes: Uint8Array, fromHost: boolean, count: number): string {
  let verdict = ''
  for (let i = 0; i < count; i++) {
    w.batch.arena.set(bytes, at)
    w.batch.lens[0] = bytes.length
    w.batch.gso[0] = i % 2 === 0 ? 0 : 1000
    verdict = fromHost
      ? w.core.fromTap(w.batch, 0, w.now)
      : w.core.fromTunnel(w.batch.view, at, bytes.length, w.batch.gso[0] ?? 0, w.now)
  }
  return verdict
}
