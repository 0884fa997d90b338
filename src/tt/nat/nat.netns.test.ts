import { expect, onTestFinished, test } from 'vitest'
import { Lab } from '#lab/netns.ts'
import { parseIp } from '#ntm-lib/addr/ip.ts'
import { parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { describeLab } from '#test/support/lab.ts'
import { edgeSetup } from './edge.ts'
import { DEFAULT_PORTS, type NatPlan } from './plan.ts'
import { removal, ruleset } from './ruleset.ts'

// inner 198.18.0.5, fd00:1:2::5 ── ntm0 [ tt ] up0 192.0.2.1, 2001:db8::1 ── server 192.0.2.9, 2001:db8::9
// The server has no route to the nodes' prefixes (but where a test gives it one), so an answer proves the source was rewritten.
// A veth pair with fixed neighbours stands for the TUN: nftables and routes see only an interface name.

const PLAN: NatPlan = {
  table: 'ntm_tt',
  inside: 'ntm0',
  uplinks: ['up0'],
  nodes: [parsePrefix('198.18.0.0/16')!, parsePrefix('fd00:1:2::/48')!],
  tunnelPort: 4330,
  ports: DEFAULT_PORTS,
  pool4: null,
  pool6: null,
  innerMtuBytes: 1280,
}

function build(plan = PLAN): Lab {
  const lab = new Lab()
  onTestFinished(() => lab.dispose())
  for (const room of ['inner', 'tt', 'server']) lab.room(room)
  lab.cable(['inner', 'eth0'], ['tt', 'ntm0'])
  lab.cable(['tt', 'up0'], ['server', 'eth0'])
  lab.ip('inner', 'addr add 198.18.0.5/16 dev eth0', 'addr add fd00:1:2::5/48 dev eth0')
  lab.ip('tt', 'addr add 198.18.255.1/32 dev ntm0', 'addr add fd00:1:2:ffff::1/128 dev ntm0')
  lab.ip('tt', 'addr add 192.0.2.1/24 dev up0', 'addr add 2001:db8::1/64 dev up0')
  lab.ip('server', 'addr add 192.0.2.9/24 dev eth0', 'addr add 2001:db8::9/64 dev eth0')
  lab.ip('inner', 'link set eth0 address 02:00:00:00:00:05')
  lab.ip('tt', 'link set ntm0 address 02:00:00:00:00:01')
  const fixed = (ip: string, link: string): string => `neigh replace ${ip} lladdr ${link} nud permanent dev`
  lab.ip('inner', ...['198.18.255.1', 'fd00:1:2:ffff::1'].map((a) => `${fixed(a, '02:00:00:00:00:01')} eth0`))
  lab.ip('tt', ...['198.18.0.5', 'fd00:1:2::5'].map((a) => `${fixed(a, '02:00:00:00:00:05')} ntm0`))
  const setup = edgeSetup(plan)
  lab.sysctl('tt', Object.fromEntries(setup.sysctls.map((s) => [s.key, s.value])))
  lab.ip('tt', ...setup.routes)
  lab.ip(
    'inner',
    'route add 192.0.2.0/24 via 198.18.255.1 dev eth0',
    'route add 2001:db8::/64 via fd00:1:2:ffff::1 dev eth0',
  )
  lab.nft('tt', ruleset(plan))
  return lab
}

/** Tells each caller, by TCP and UDP in both families, which address and port it is seen with. */
const SERVER = `
const say = (r) => r.address.replace('::ffff:', '') + ' ' + r.port
require('net').createServer((s) => s.end(say({ address: s.remoteAddress, port: s.remotePort }))).listen(80, '::', () => {
  const u = require('dgram').createSocket('udp6').on('message', (_, r) => u.send(say(r), r.port, r.address))
  u.bind(53, '::', () => console.log('ready'))
})`
const TCP = `require('net').connect({ host: process.argv[1], port: 80, localPort: Number(process.argv[2]) }).on('data', (d) => console.log(String(d)))`
const UDP = `
const u = require('dgram').createSocket(process.argv[1].includes(':') ? 'udp6' : 'udp4')
u.on('message', (d) => { console.log(String(d)); u.close() }).bind(Number(process.argv[2]), () => u.send('?', 53, process.argv[1]))
setTimeout(() => process.exit(1), 3000).unref()`

async function serve(lab: Lab): Promise<void> {
  await lab.spawn('server', 'server', process.execPath, ['-e', SERVER]).line(/ready/)
}
const seen = async (lab: Lab, script: string, to: string, port: number): Promise<[string, number]> => {
  const [address = '', p = ''] = (await lab.must('inner', process.execPath, ['-e', script, to, String(port)]))
    .trim()
    .split(' ')
  return [address, Number(p)]
}
const pings = async (lab: Lab, room: string, to: string): Promise<boolean> =>
  (await lab.run(room, 'ping', ['-c', '1', '-W', '1', to])).code === 0

describeLab('source NAT of the terminator', () => {
  test('TCP, UDP and ping of both families leave with the uplink’s address, never with the tunnel’s port', async () => {
    const lab = build()
    await serve(lab)
    for (const [to, own] of [
      ['192.0.2.9', '192.0.2.1'],
      ['2001:db8::9', '2001:db8::1'],
    ] as const) {
      for (const script of [TCP, UDP]) {
        const [address, port] = await seen(lab, script, to, 4330)
        expect(address).toBe(own)
        expect(port).toBeGreaterThanOrEqual(10000)
      }
      expect(await pings(lab, 'inner', to)).toBe(true)
    }
  })

  test('a pool gives its addresses and its ports', async () => {
    const pool: NatPlan = {
      ...PLAN,
      ports: [20000, 20999],
      pool4: [parseIp('192.0.2.10')!, parseIp('192.0.2.11')!],
      pool6: [parseIp('2001:db8::10')!, parseIp('2001:db8::11')!],
    }
    const lab = build(pool)
    lab.ip(
      'tt',
      ...['192.0.2.10/24', '192.0.2.11/24', '2001:db8::10/64', '2001:db8::11/64'].map((a) => `addr add ${a} dev up0`),
    )
    await serve(lab)
    for (const [to, like] of [
      ['192.0.2.9', /^192\.0\.2\.1[01]$/],
      ['2001:db8::9', /^2001:db8::1[01]$/],
    ] as const) {
      const [address, port] = await seen(lab, TCP, to, 5000)
      expect(address).toMatch(like)
      expect(port >= 20000 && port <= 20999).toBe(true)
    }
  })

  test('nodes reach neither this machine nor are they reached from its neighbours', async () => {
    const lab = build()
    expect(await pings(lab, 'inner', '192.0.2.9')).toBe(true)
    for (const own of ['192.0.2.1', '198.18.255.1', '2001:db8::1']) expect(await pings(lab, 'inner', own)).toBe(false)
    lab.ip('server', 'route add 198.18.0.0/16 via 192.0.2.1', 'route add fd00:1:2::/48 via 2001:db8::1')
    expect(await pings(lab, 'server', '198.18.0.5')).toBe(false)
    expect(await pings(lab, 'server', 'fd00:1:2::5')).toBe(false)
    lab.nft('tt', removal(PLAN))
    expect(await pings(lab, 'server', '198.18.0.5')).toBe(true)
    expect(await pings(lab, 'server', 'fd00:1:2::5')).toBe(true)
  })

  test('what the machine itself sends with a node’s address (the raw port) leaves by an uplink or not at all', async () => {
    const lab = build()
    for (const [node, own, server] of [
      ['198.18.0.77', '192.0.2.1', '192.0.2.9'],
      ['fd00:1:2::77', '2001:db8::1', '2001:db8::9'],
    ] as const) {
      lab.ip('tt', `addr add ${node}/${node.includes(':') ? 128 : 32} dev lo`)
      const from = async (to: string): Promise<boolean> =>
        (await lab.run('tt', 'ping', ['-c', '1', '-W', '1', '-I', node, to])).code === 0
      expect(await from(server)).toBe(true)
      expect(await from(own)).toBe(false)
      lab.nft('tt', removal(PLAN))
      expect(await from(own)).toBe(true)
      lab.nft('tt', ruleset(PLAN))
    }
  })

  test('a source that is no node’s does not get out', async () => {
    const lab = build()
    lab.ip('inner', 'addr add 10.1.1.1/32 dev eth0', 'addr add 2001:db8:bad::1/128 dev eth0')
    lab.ip('tt', 'route add 10.1.1.1 dev ntm0', 'route add 2001:db8:bad::1 dev ntm0')
    for (const a of ['10.1.1.1', '2001:db8:bad::1'])
      lab.ip('tt', `neigh replace ${a} lladdr 02:00:00:00:00:05 nud permanent dev ntm0`)
    lab.ip('server', 'route add 10.1.1.1 via 192.0.2.1', 'route add 2001:db8:bad::1 via 2001:db8::1')
    const from = async (a: string, to: string): Promise<number> =>
      (await lab.run('inner', 'ping', ['-c', '1', '-W', '1', '-I', a, to])).code ?? -1
    expect(await from('10.1.1.1', '192.0.2.9')).not.toBe(0)
    expect(await from('2001:db8:bad::1', '2001:db8::9')).not.toBe(0)
  })

  test('applying twice is applying once, other tables stay, removal leaves nothing', async () => {
    const lab = build()
    const list = (): Promise<string> => lab.must('tt', 'nft', ['-s', 'list', 'ruleset'])
    lab.nft(
      'tt',
      'table ip other { chain c { type filter hook input priority 0; policy accept; tcp dport 22 accept; }; }\n',
    )
    const once = await list()
    expect(once).toContain('masquerade to :10000-65535')
    lab.nft('tt', ruleset(PLAN))
    const rules = (text: string): string[] => text.split(/(?=^table )/m).sort()
    expect(rules(await list())).toEqual(rules(once))
    lab.nft('tt', removal(PLAN))
    expect(await list()).toBe(rules(once).find((t) => t.startsWith('table ip other')))
    lab.nft('tt', removal(PLAN))
  })

  test('when the device goes, replies fall into the blackhole; undo leaves no route', async () => {
    const lab = build()
    const setup = edgeSetup(PLAN)
    lab.ip('tt', ...setup.routes)
    lab.ip('tt', 'link set ntm0 down', 'route add default via 192.0.2.9')
    expect((await lab.run('tt', 'ip', ['route', 'get', '198.18.0.5'])).code).not.toBe(0)
    expect((await lab.run('tt', 'ip', ['-6', 'route', 'get', 'fd00:1:2::5'])).code).not.toBe(0)
    lab.ip('tt', 'link set ntm0 up', ...setup.routes, ...setup.undoRoutes)
    const left = (await lab.must('tt', 'ip', ['route'])) + (await lab.must('tt', 'ip', ['-6', 'route']))
    expect(left).not.toMatch(/198\.18\.0\.0\/16|fd00:1:2::\/48/)
  })

  test('tunnel datagrams are not tracked', async () => {
    const lab = build()
    const stay = `const u = require('dgram').createSocket('udp4').on('message', (_, r) => { u.send('!', r.port, r.address); setTimeout(() => u.close(), 50) }).bind(4330, () => console.log('ready'))`
    await lab.spawn('tt', 'tt', process.execPath, ['-e', stay]).line(/ready/)
    const ask = `const u = require('dgram').createSocket('udp4').on('message', () => { console.log('answered'); u.close() }).bind(4330, () => u.send('?', 4330, '192.0.2.1')); setTimeout(() => process.exit(1), 3000).unref()`
    expect(await lab.must('server', process.execPath, ['-e', ask])).toContain('answered')
    const tracked = await lab
      .must('tt', 'cat', ['/proc/net/nf_conntrack'])
      .catch(() => lab.must('tt', 'conntrack', ['-L']))
    expect(tracked).not.toContain('4330')
  })

  test('the kernel itself tells servers of both families what fits into a tunnel', async () => {
    const lab = build()
    const big = `const u = require('dgram').createSocket('udp6').on('message', (_, r) => u.send(Buffer.alloc(1400), r.port, r.address)).bind(53, '::', () => console.log('ready'))`
    await lab.spawn('server', 'big', process.execPath, ['-e', big]).line(/ready/)
    for (const [to, own] of [
      ['192.0.2.9', '192.0.2.1'],
      ['2001:db8::9', '2001:db8::1'],
    ] as const) {
      // Answered or not: the server's answer is too big, and the server hears so.
      await lab.run('inner', process.execPath, ['-e', `${UDP.replace('3000', '300')}`, to, '5000'])
      expect(await lab.must('server', 'ip', ['route', 'get', own])).toContain('mtu 1280')
    }
  })
})
