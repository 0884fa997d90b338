import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { LabError } from '#lab/ip.ts'
import { Lab, type Plug, ROOT } from '#lab/netns.ts'
import { until } from '#lab/process.ts'
import { withSettings } from '#lab/product.ts'
import { resolver } from '#lab/services.ts'
import type { Peer } from './peer.ts'
import { ETHERNET_BYTES, serveAndJoin, UDP4_BYTES } from './rooms.ts'

/*
 *   host ─eth0 ── host0─[ a: bridge ]─net0 ── lan0─[ b: TT ]─in0 ── eth0─ server
 *   10.1.0.2             br0 10.1.0.3      10.1.0.1   co0 │ dns0        2001:db8:6::80, no IPv4
 *                                                coordinator  resolver
 */
const PLACE = {
  host: '10.1.0.2',
  bridge: '10.1.0.3',
  gateway: '10.1.0.1',
  coordinator: '198.51.100.10',
  resolver: '198.51.100.53',
  server: '2001:db8:6::80',
  name: 'server.example',
} as const
export const NTM_MIDDLE: readonly [Plug, Plug] = [
  ['a', 'net0'],
  ['b', 'lan0'],
]

/**
 * The main job on the same four rooms and three cables: an IPv4 host, bridge, TT, a server that has IPv6 only. `root` is the product's
 * directory: another one than this for a comparison with an older commit.
 */
export function ntm(root: string = ROOT): Peer {
  return {
    name: 'ntm',
    version: 'bridge and TT, IPv4 host to IPv6 server',
    build: async () => {
      const lab = new Lab()
      try {
        await rooms(lab)
        const boxes = await programs(lab, root)
        const target = await asked(lab)
        await serveAndJoin(lab, target)
        return {
          name: 'ntm',
          lab,
          target,
          boxes,
          middle: NTM_MIDDLE,
          frameBytes: (inner) => ETHERNET_BYTES + UDP4_BYTES + NTM_HEADER_AND_TAG + inner,
          dispose: () => lab.dispose(),
        }
      } catch (fault) {
        process.stderr.write(`bench: ntm: its logs are in ${lab.keepLogs('failed-ntm')}\n`)
        lab.dispose()
        throw fault
      }
    },
  }
}

async function rooms(lab: Lab): Promise<void> {
  for (const room of ['host', 'a', 'server', 'coordinator', 'resolver']) lab.room(room)
  lab.room('b', { 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 })
  lab.cable(['host', 'eth0'], ['a', 'host0'], { leaveDown: ['a'] })
  lab.cable(...NTM_MIDDLE, { leaveDown: ['a'] })
  lab.cable(['b', 'in0'], ['server', 'eth0'])
  await lab.must('a', 'sh', [join(ROOT, 'board/common/bridge-up.sh'), 'host0', 'net0', 'br0'])
  lab.ip('host', `addr add ${PLACE.host}/24 dev eth0`, `route add default via ${PLACE.gateway}`)
  lab.etc('host', 'resolv.conf', `nameserver ${PLACE.resolver}\n`)
  lab.ip('a', `addr add ${PLACE.bridge}/24 dev br0`, `route add default via ${PLACE.gateway}`)
  lab.ip('b', `addr add ${PLACE.gateway}/24 dev lan0`, 'addr add 2001:db8:6::1/64 dev in0')
  lab.ip('server', `addr add ${PLACE.server}/64 dev eth0`, 'route add default via 2001:db8:6::1')
  for (const [room, link, ip4] of [
    ['coordinator', 'co0', PLACE.coordinator],
    ['resolver', 'dns0', PLACE.resolver],
  ] as const) {
    const gateway = ip4.replace(/\d+$/, (last) => `${(Number(last) & 0xf0) + 1}`)
    lab.cable([room, 'eth0'], ['b', link])
    lab.ip('b', `addr add ${gateway}/28 dev ${link}`)
    lab.ip(room, `addr add ${ip4}/28 dev eth0`, `route add default via ${gateway}`)
  }
}

/** Coordinator, TT and bridge from the examples, in the order a person would start them. */
async function programs(lab: Lab, root: string): Promise<{ name: string; pid: number }[]> {
  await resolver(lab, 'resolver', [
    { origin: 'example', records: [`ns A ${PLACE.resolver}`, `server AAAA ${PLACE.server}`] },
  ])
  const ntmCommand = join(root, 'src/cli/ntm.ts')
  const network = join(lab.dir, 'network')
  const cli = (args: readonly string[]): Promise<string> =>
    lab.must('coordinator', process.execPath, [ntmCommand, ...args])
  await cli([
    ...['network', 'init', '--dir', network, '--name', 'bench', '--zone', 'ntm.example'],
    ...['--endpoint', `${PLACE.coordinator}:4330`],
  ])
  const token = async (role: 'bridge' | 'tt'): Promise<string> =>
    lab.file(`${role}/token`, await cli(['token', 'create', '--dir', network, '--name', role, '--role', role]), 0o600)
  const start = async (room: string, role: string, changes: Parameters<typeof withSettings>[1]): Promise<number> => {
    const example = readFileSync(join(root, `examples/${role}.toml`), 'utf8')
    const file = lab.file(
      `${role}/ntm.toml`,
      withSettings(example, { 'control.socket': join(lab.dir, `${role}.sock`), 'log.format': 'json', ...changes }),
    )
    const program = lab.spawn(room, `ntm-${role}`, process.execPath, [ntmCommand, role, '--config', file])
    await program.line(/"event":"role\.ready"/, 20_000)
    return program.pid
  }
  const state = (role: string): string => {
    mkdirSync(join(lab.dir, role), { recursive: true })
    return join(lab.dir, role, 'state')
  }
  await start('coordinator', 'coordinator', { 'network.dir': network })
  const tt = await start('b', 'tt', {
    state: state('tt'),
    'network.token_file': await token('tt'),
    'tt.uplink': 'in0',
    'tt.resolvers': [PLACE.resolver],
    'tt.allow': ['2001:db8::/32'],
  })
  const bridge = await start('a', 'bridge', {
    state: state('bridge'),
    'network.token_file': await token('bridge'),
    'bridge.host': 'host0',
    'bridge.net': 'net0',
    'bridge.bridge': 'br0',
  })
  return [
    { name: 'a', pid: bridge },
    { name: 'b', pid: tt },
  ]
}

/** The virtual IPv4 address that the host is told for the server's name. */
async function asked(lab: Lab): Promise<string> {
  return until(
    `an IPv4 address for ${PLACE.name}`,
    async () => {
      const done = await lab.run('host', process.execPath, [CLIENT, PLACE.resolver, '0', PLACE.name])
      if (done.code !== 0) throw new LabError(`dns-client: ${done.stderr}`)
      const [answer] = JSON.parse(done.stdout) as { address: string | null }[]
      return answer?.address ?? null
    },
    20_000,
    200,
  )
}

const CLIENT = join(ROOT, 'bench/dns-client.ts')
/** Header and tag of a Capsulated Packet: `src/ntm-lib/wire/capsulated.ts`. */
export const NTM_HEADER_AND_TAG = 32
