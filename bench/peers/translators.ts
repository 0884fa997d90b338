import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Lab, ROOT } from '#lab/netns.ts'
import { until } from '#lab/process.ts'
import { fetchDebian, type Missing } from './fetch.ts'
import type { Arena, Peer } from './peer.ts'
import { ETHERNET_BYTES, serveAndJoin } from './rooms.ts'

/*
 *   host ─eth0 ── in0─[ a: translator ]─out0 ── eth0─ server
 *   198.18.1.2  198.18.1.1        2001:db8:6::1   2001:db8:6::80, no IPv4
 */
const PLACE = {
  host: { ip4: '198.18.1.2', as6: 'fd00:1:2::5' },
  server: { ip6: '2001:db8:6::80', as4: '198.19.0.1', as6: 'fd00:1:3::1' },
} as const

/** The product's translation without tunnels (`bench/translate.ts`). */
export function ntmTranslator(root: string = ROOT): Peer | Missing {
  const program = join(root, 'bench/translate.ts')
  if (!existsSync(program)) return { absent: 'this commit has no translator without tunnels' }
  const { host, server } = PLACE
  return translator('ntm', 'translation alone', async (lab) => {
    const pairs = ['--host', `${host.ip4},${host.as6}`, '--server', `${server.as4},${server.as6},${server.ip6}`]
    const running = lab.spawn('a', 'translate', process.execPath, [program, ...pairs])
    await running.line(/"ready":true/)
    return running.pid
  })
}

/** TAYGA: stateless translation over a TUN, C, in userland. The same two pairs of addresses, as static maps. */
export function tayga(): Peer | Missing {
  const found = fetchDebian('tayga')
  if ('absent' in found) return found
  const { host, server } = PLACE
  return translator('tayga', found.version, async (lab) => {
    const dir = join(lab.dir, 'tayga')
    mkdirSync(dir)
    const settings = [
      'tun-device nat64',
      'ipv4-addr 192.0.2.65',
      'ipv6-addr 2001:db8:65::1',
      `map ${host.ip4} ${host.as6}`,
      `map ${server.as4} ${server.ip6}`,
      `data-dir ${dir}`,
    ]
    const file = lab.file('tayga.conf', `${settings.join('\n')}\n`)
    const [command, ...first] = found.command('tayga')
    const running = lab.spawn('a', 'tayga', command, [...first, '--nodetach', '--config', file])
    await until('tayga’s device', async () =>
      (await lab.run('a', 'ip', ['link', 'show', 'dev', 'nat64'])).code === 0 ? true : null,
    )
    lab.ip('a', 'link set nat64 up', `route add ${server.as4}/32 dev nat64`, `route add ${host.as6}/128 dev nat64`)
    return running.pid
  })
}

function translator(name: string, version: string, start: (lab: Lab) => Promise<number>): Peer {
  return {
    name,
    version,
    build: async (): Promise<Arena> => {
      const lab = new Lab()
      try {
        for (const room of ['host', 'server']) lab.room(room)
        lab.room('a', { 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 })
        lab.cable(['host', 'eth0'], ['a', 'in0'])
        lab.cable(['a', 'out0'], ['server', 'eth0'])
        lab.ip('a', 'addr add 198.18.1.1/24 dev in0', 'addr add 2001:db8:6::1/64 dev out0')
        // IPv6's header is 20 bytes longer: nobody is made to answer or to cut.
        lab.ip('host', `addr add ${PLACE.host.ip4}/24 dev eth0`, 'route add default via 198.18.1.1 mtu 1480')
        lab.ip('server', `addr add ${PLACE.server.ip6}/64 dev eth0`, 'route add default via 2001:db8:6::1')
        const pid = await start(lab)
        await serveAndJoin(lab, PLACE.server.as4)
        return {
          name,
          lab,
          target: PLACE.server.as4,
          boxes: [{ name: 'a', pid }],
          middle: [
            ['a', 'out0'],
            ['server', 'eth0'],
          ],
          frameBytes: (inner) => ETHERNET_BYTES + inner,
          dispose: () => lab.dispose(),
        }
      } catch (fault) {
        process.stderr.write(`bench: ${name}: its logs are in ${lab.keepLogs(`failed-translate-${name}`)}\n`)
        lab.dispose()
        throw fault
      }
    },
  }
}
