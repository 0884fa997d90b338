import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BIG_BYTES, BIG_SHA256, bigFile, sha256 } from '#lab/content.ts'
import { natLabel, probeNat } from '#lab/nat-behaviour.ts'
import type { Outcome } from '#lab/process.ts'
import { PLACE, type Room, type Scene, v4HostToV6Server } from '#lab/scenes/v4-host-to-v6-server.ts'
import { pageOf } from '#lab/services.ts'
import { describeLab } from '#test/support/lab.ts'

// The scene as drawn in lab/scenes/v4-host-to-v6-server.ts, without any program of the product: what works before it
// comes, and what does not.

describeLab('scene v4-host-to-v6-server, product absent', () => {
  let scene: Scene
  beforeAll(async () => {
    scene = await v4HostToV6Server()
  })
  afterAll(() => scene?.dispose())

  const curl = (room: Room, ...args: string[]): Promise<Outcome> =>
    scene.lab.run(room, 'curl', ['-sS', '--max-time', '20', ...args])
  const dig = async (room: Room, name: string, type: string): Promise<string> =>
    scene.lab.must(room, 'dig', ['+noall', '+comments', '+answer', '+tries=1', name, type])

  test('the host got address, gateway and resolver by DHCP, through the bridge', async () => {
    expect(await scene.address4('host', 'eth0')).toMatch(/^192\.168\.77\.1\d\d$/)
    expect(await scene.lab.must('host', 'ip', ['route'])).toContain(`default via ${PLACE.lan.router} dev eth0`)
    expect(await scene.lab.must('host', 'cat', ['/etc/resolv.conf'])).toBe(`nameserver ${PLACE.lan.router}\n`)
  })

  test('the bridge is a second client of the same LAN', async () => {
    const own = await scene.address4('bridge', 'br0')
    expect(own).toMatch(/^192\.168\.77\.1\d\d$/)
    expect(own).not.toBe(await scene.address4('host', 'eth0'))
  })

  test('the host has no IPv6 beyond its link', async () => {
    expect((await scene.lab.must('host', 'ip', ['-6', 'address', 'show', 'scope', 'global'])).trim()).toBe('')
    expect((await scene.lab.must('host', 'ip', ['-6', 'route', 'show', 'default'])).trim()).toBe('')
  })

  test('ordinary TCP works: IPv4-only and dual-stack servers, seen from the NAT address', async () => {
    expect((await curl('host', 'http://v4only.example/')).stdout).toBe(pageOf('v4only.example'))
    expect((await curl('host', 'http://dual.example/')).stdout).toBe(pageOf('dual.example'))
    expect((await curl('host', 'http://dual.example/ip')).stdout).toBe(`${PLACE.router.ip4}\n`)
    expect(readFileSync(scene.webLogs.dual, 'utf8')).toContain(PLACE.router.ip4)
  })

  test('the IPv6-only name has no A and cannot be reached', async () => {
    const a = await dig('host', 'v6only.example', 'A')
    expect(a).toMatch(/status: NOERROR.*\n.*ANSWER: 0/)
    expect(await dig('host', 'v6only.example', 'AAAA')).toContain(PLACE.web6.ip6)
    const page = await curl('host', 'http://v6only.example/')
    expect(page.code).not.toBe(0)
    expect(page.stdout).toBe('')
  })

  test('a name that does not exist is NXDOMAIN, inside the zone and outside', async () => {
    expect(await dig('host', 'missing.example', 'A')).toContain('status: NXDOMAIN')
    expect(await dig('host', 'nothing.anywhere', 'A')).toContain('status: NXDOMAIN')
  })

  test('the TT edge reaches both families and resolves', async () => {
    expect((await curl('tt', 'http://v6only.example/', '--dns-servers', PLACE.resolver.ip4)).code).not.toBe(0)
    expect((await curl('tt', `http://[${PLACE.web6.ip6}]/`)).stdout).toBe(pageOf('v6only.example'))
    expect((await curl('tt', `http://${PLACE.web4.ip4}/`)).stdout).toBe(pageOf('v4only.example'))
    const answer = await scene.lab.must('tt', 'dig', ['+short', `@${PLACE.resolver.ip4}`, 'v6only.example', 'AAAA'])
    expect(answer).toBe(`${PLACE.web6.ip6}\n`)
    const over6 = await scene.lab.must('tt', 'dig', ['+short', `@${PLACE.resolver.ip6}`, 'dual.example', 'A'])
    expect(over6).toBe(`${PLACE.dual.ip4}\n`)
  })

  test('TLS: the lab authority vouches for each server, and only by its own name', async () => {
    expect((await curl('host', '--cacert', scene.ca, 'https://dual.example/')).stdout).toBe(pageOf('dual.example'))
    expect((await curl('host', 'https://dual.example/')).code).toBe(60)
    const wrong = ['--cacert', scene.ca, '--connect-to', 'dual.example:443:v4only.example:443', 'https://dual.example/']
    expect((await curl('host', ...wrong)).code).toBe(60)
  })

  test('the big file is what it should be, down and up', async () => {
    const down = `${scene.lab.dir}/down`
    expect((await curl('tt', '-o', down, `http://[${PLACE.web6.ip6}]/100m.bin`)).code).toBe(0)
    expect(await sha256(down)).toBe(BIG_SHA256)
    const up = await curl('tt', '-T', bigFile(), `http://[${PLACE.web6.ip6}]/upload/big`)
    expect(up.code).toBe(0)
    expect(readFileSync(`${scene.uploads}/big`).length).toBe(BIG_BYTES)
    expect(await sha256(`${scene.uploads}/big`)).toBe(BIG_SHA256)
  })

  test('UDP echo and iperf3 answer', async () => {
    const script = new URL('../../lab/udp.ts', import.meta.url).pathname
    const echo = await scene.lab.must('tt', process.execPath, [script, 'ask', PLACE.web6.ip6, '7777', 'hello'])
    expect(echo).toBe('hello\n')
    const iperf = await scene.lab.must('tt', 'iperf3', ['-J', '-n', '1M', '-c', PLACE.web6.ip6])
    expect(JSON.parse(iperf).end.sum_received.bytes).toBeGreaterThan(0)
  })

  test('the NAT is what its label says', async () => {
    const seen = await probeNat(scene.lab, {
      inside: 'bridge',
      outside: 'inet',
      addresses: PLACE.probe.ip4,
      ports: PLACE.probe.ports,
    })
    expect(natLabel(seen), JSON.stringify(seen)).toBe('port-restricted')
    expect(seen.mapped).toMatch(new RegExp(`^${PLACE.router.ip4}:`))
  })

  test('the bridge box says nothing on its own wire but for its DHCP lease and ARP', async () => {
    const heard = await scene.lab.must('bridge', 'ip', ['-j', '-6', 'address'])
    expect(JSON.parse(heard).filter((link: { ifname: string }) => link.ifname !== 'lo' && link.ifname)).toEqual([])
    for (const port of ['host0', 'net0']) {
      const mask = await scene.lab.must('bridge', 'cat', [`/sys/class/net/${port}/brport/group_fwd_mask`])
      expect(mask.trim()).toBe('0xfffd')
    }
    const address = async (link: string) =>
      (await scene.lab.must('bridge', 'cat', [`/sys/class/net/${link}/address`])).trim()
    expect(await address('br0')).toBe(await address('net0'))
  })
})
