import { join } from 'node:path'
import { Lab, type Plug, ROOT } from '#lab/netns.ts'
import { until } from '#lab/process.ts'
import { iperf } from '#lab/services.ts'

/*
 *   host ─eth0 ── in0─[ a ]─out0 ── out0─[ b ]─in0 ── eth0─ server
 *   198.18.1.2  198.18.1.1  192.0.2.1   192.0.2.2  198.18.2.1  198.18.2.2
 */

/** Addresses of the place where boxes are routers. */
export const ROUTERS = {
  host: { ip4: '198.18.1.2', net: '198.18.1.0/24' },
  a: { inside: '198.18.1.1', outside: '192.0.2.1' },
  b: { inside: '198.18.2.1', outside: '192.0.2.2' },
  server: { ip4: '198.18.2.2', net: '198.18.2.0/24' },
} as const
export const MIDDLE: readonly [Plug, Plug] = [
  ['a', 'out0'],
  ['b', 'out0'],
]

/** The four rooms with two routers that know only their neighbours: the peer's own routes join host and server. */
export function routers(): Lab {
  const lab = new Lab()
  for (const room of ['host', 'server']) lab.room(room)
  for (const room of ['a', 'b']) lab.room(room, { 'net.ipv4.ip_forward': 1 })
  lab.cable(['host', 'eth0'], ['a', 'in0'])
  lab.cable(...MIDDLE)
  lab.cable(['b', 'in0'], ['server', 'eth0'])
  const { host, a, b, server } = ROUTERS
  lab.ip('host', `addr add ${host.ip4}/24 dev eth0`, `route add default via ${a.inside}`)
  lab.ip('a', `addr add ${a.inside}/24 dev in0`, `addr add ${a.outside}/24 dev out0`)
  lab.ip('b', `addr add ${b.inside}/24 dev in0`, `addr add ${b.outside}/24 dev out0`)
  lab.ip('server', `addr add ${server.ip4}/24 dev eth0`, `route add default via ${b.inside}`)
  return lab
}

/** Starts what waits on the server, and waits until the host reaches it at `target`. */
export async function serveAndJoin(lab: Lab, target: string): Promise<void> {
  // Each connection begins afresh, whatever the last one learnt about the path.
  for (const room of ['host', 'server']) lab.sysctl(room, { 'net.ipv4.tcp_no_metrics_save': 1 })
  await iperf(lab, 'server')
  const load = lab.spawn('server', 'udpload', UDPLOAD, ['serve', `${UDPLOAD_PORT}`])
  await load.line(/udpload\.ready/)
  await until(
    `ping ${target}`,
    async () => ((await lab.run('host', 'ping', ['-n', '-c', '1', '-W', '1', target])).code === 0 ? true : null),
    20_000,
    100,
  )
}

/** The generator, built by `bench/native/Makefile`. */
export const UDPLOAD = join(ROOT, '.run/bench/udpload')
export const UDPLOAD_PORT = 7700
/** Ethernet header, as `tbf` counts frames; neither checksum nor preamble. */
export const ETHERNET_BYTES = 14
export const UDP4_BYTES = 28
