import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { firewall6Ruleset, type NatKind, natRuleset, udpLifetime } from '#lab/nat.ts'
import { natLabel, probeNat, seenAs } from '#lab/nat-behaviour.ts'
import { Lab, ROOT } from '#lab/netns.ts'
import { until } from '#lab/process.ts'
import { describeLab } from '#test/support/lab.ts'

// inside 10.9.0.2 ─┐
//                  ├ in0 [ nat ] up0 203.0.113.2 ── outside 203.0.113.9, 203.0.113.10 (two servers, two ports each)
// second 10.9.0.3 ─┘
// Nothing outside has a route to 10.9/16, so every answer came through the mapping.

describeLab('a NAT behaves as its label says', () => {
  const kinds: readonly NatKind[] = ['full-cone', 'address-restricted', 'port-restricted', 'symmetric']
  for (const kind of kinds) {
    for (const hairpin of [false, true]) {
      test(`${kind}${hairpin ? ', hairpin' : ''}`, async () => {
        const lab = natLab(kind, hairpin)
        const seen = await probe(lab)
        expect(natLabel(seen), JSON.stringify(seen)).toBe(kind)
        expect(seen.hairpin, JSON.stringify(seen)).toBe(hairpin)
        expect(seen.mapped).toMatch(/^203\.0\.113\.2:/)
        // The probe's source port is free outside, so a NAT that keeps ports keeps it; a random one almost never does.
        expect(seen.portKept).toBe(kind !== 'symmetric')
      })
    }
  }

  test('no NAT at all is not taken for one', async () => {
    const lab = natLab(null, false)
    lab.ip('outside', 'route add 10.9.0.0/16 via 203.0.113.2')
    const seen = await probe(lab)
    expect(seen.mapped).toMatch(/^10\.9\.0\.2:/)
    expect(natLabel(seen)).toBe('full-cone')
  })

  test('two hosts with the same source port behind a full cone keep their own mappings', async () => {
    const lab = natLab('full-cone', false)
    const server = lab.spawn('outside', 'probe', process.execPath, [PROBE, 'serve', ...ADDRESSES, ...PORTS.map(String)])
    await server.line(/probe\.ready/)
    expect(await seenAs(lab, 'inside', ['203.0.113.9', 3478], 4330)).toBe('203.0.113.2:4330')
    const second = await seenAs(lab, 'second', ['203.0.113.9', 3478], 4330)
    expect(second).toMatch(/^203\.0\.113\.2:\d+$/)
    expect(second).not.toBe('203.0.113.2:4330')
    const cone = await lab.must('nat', 'nft', ['list', 'map', 'ip', 'ntm-lab-nat', 'cone'])
    expect(cone).toMatch(/4330 .*: 10\.9\.0\.2 \. 4330/)
    expect(cone).toMatch(new RegExp(`${second.split(':')[1]} .*: 10\\.9\\.0\\.3 \\. 4330`))
  })

  test('an idle UDP mapping ends with its lifetime', async () => {
    const lab = natLab('full-cone', false, 2)
    const server = lab.spawn('outside', 'probe', process.execPath, [PROBE, 'serve', ...ADDRESSES, ...PORTS.map(String)])
    await server.line(/probe\.ready/)
    await seenAs(lab, 'inside', ['203.0.113.9', 3478], 4330)
    const cone = () => lab.must('nat', 'nft', ['list', 'map', 'ip', 'ntm-lab-nat', 'cone'])
    expect(await cone()).toContain('10.9.0.2 . 4330')
    const timeouts = await lab.must('nat', 'cat', ['/proc/sys/net/netfilter/nf_conntrack_udp_timeout'])
    expect(timeouts).toBe('2\n')
    await until('the mapping gone', async () => ((await cone()).includes('10.9.0.2') ? null : true), 10_000)
  })
})

// inside 2001:db8:1::2 ── in0 [ router, firewall ] up0 2001:db8:2::1 ── 2001:db8:2::2 outside
describeLab('an IPv6 firewall', () => {
  test('lets out and answers in, and nothing that nobody asked for', async () => {
    const lab = new Lab()
    onTestFinished(() => lab.dispose())
    lab.room('inside')
    lab.room('outside')
    lab.room('router', { 'net.ipv6.conf.all.forwarding': 1 })
    lab.cable(['inside', 'eth0'], ['router', 'in0'])
    lab.cable(['router', 'up0'], ['outside', 'eth0'])
    lab.ip('router', 'addr add 2001:db8:1::1/64 dev in0', 'addr add 2001:db8:2::1/64 dev up0')
    lab.ip('inside', 'addr add 2001:db8:1::2/64 dev eth0', 'route add default via 2001:db8:1::1')
    lab.ip('outside', 'addr add 2001:db8:2::2/64 dev eth0', 'route add default via 2001:db8:2::1')
    const ping = async (room: string, to: string) => (await lab.run(room, 'ping', ['-c1', '-W1', to])).code === 0
    expect(await ping('outside', '2001:db8:1::2')).toBe(true)
    lab.nft('router', firewall6Ruleset('up0'))
    expect(await ping('outside', '2001:db8:1::2')).toBe(false)
    expect(await ping('inside', '2001:db8:2::2')).toBe(true)
    expect(await ping('outside', '2001:db8:2::1')).toBe(true)
  })
})

function natLab(kind: NatKind | null, hairpin: boolean, udpSeconds = 30): Lab {
  const lab = new Lab()
  onTestFinished(() => lab.dispose())
  for (const room of ['inside', 'second', 'outside']) lab.room(room)
  lab.room('nat', { 'net.ipv4.ip_forward': 1 })
  lab.cable(['inside', 'eth0'], ['nat', 'p1'])
  lab.cable(['second', 'eth0'], ['nat', 'p2'])
  lab.cable(['nat', 'up0'], ['outside', 'eth0'])
  lab.lanSwitch('nat', 'in0', ['p1', 'p2'])
  lab.ip('nat', 'addr add 10.9.0.1/16 dev in0')
  lab.ip('nat', 'addr add 203.0.113.2/24 dev up0')
  lab.ip('inside', 'addr add 10.9.0.2/16 dev eth0', 'route add default via 10.9.0.1')
  lab.ip('second', 'addr add 10.9.0.3/16 dev eth0', 'route add default via 10.9.0.1')
  lab.ip('outside', 'addr add 203.0.113.9/24 dev eth0', 'addr add 203.0.113.10/24 dev eth0')
  if (kind !== null) {
    lab.sysctl('nat', udpLifetime(udpSeconds))
    lab.nft('nat', natRuleset({ kind, hairpin, uplink: 'up0', inside: 'in0', outside: '203.0.113.2', udpSeconds }))
  }
  return lab
}

const ADDRESSES = ['203.0.113.9', '203.0.113.10'] as const
const PORTS = [3478, 3479] as const
const probe = (lab: Lab) => probeNat(lab, { inside: 'inside', outside: 'outside', addresses: ADDRESSES, ports: PORTS })
const PROBE = join(ROOT, 'lab/nat-probe.ts')
