import { afterAll, beforeAll, expect, test } from 'vitest'
import { Internet, type Site, type SiteKind } from '#lab/internet.ts'
import { natLabel, probeNat } from '#lab/nat-behaviour.ts'
import { Lab } from '#lab/netns.ts'
import { describeLab } from '#test/support/lab.ts'

const KINDS: readonly SiteKind[] = [
  ...(['none', 'full-cone', 'address-restricted', 'port-restricted', 'symmetric'] as const),
  ...(['double-nat', 'v6-firewall', 'v4-only', 'v6-only'] as const),
]

describeLab('a small Internet', () => {
  let lab: Lab
  let net: Internet
  let server: { ip4: string; ip6: string }
  const seats = new Map<SiteKind, ReturnType<Internet['join']>>()
  const room = (kind: SiteKind): string => kind.replaceAll('-', '')
  const reaches = async (from: string, ip: string): Promise<boolean> =>
    (await lab.run(from, 'ping', ['-c1', '-W1', ip])).code === 0

  beforeAll(async () => {
    lab = new Lab()
    net = new Internet(lab)
    server = await net.server('server')
    lab.ip('inet', 'addr add 192.0.2.11/32 dev lo', 'addr add 192.0.2.12/32 dev lo')
    for (const kind of KINDS) {
      lab.room(`h${room(kind)}`)
      const site: Site = await net.site(`s${room(kind)}`, kind)
      seats.set(kind, net.join(`h${room(kind)}`, 'eth0', site))
    }
  })
  afterAll(() => lab?.dispose())

  test.each(KINDS)('%s: the families it has, and no other', async (kind) => {
    const seat = seats.get(kind)
    const host = `h${room(kind)}`
    expect(await reaches(host, server.ip4)).toBe(seat?.ip4 !== null)
    expect(await reaches(host, server.ip6)).toBe(seat?.ip6 !== null)
  })

  test.each(['full-cone', 'address-restricted', 'port-restricted', 'symmetric', 'double-nat'] as const)(
    '%s is what it is called',
    async (kind) => {
      const plan = { inside: `h${room(kind)}`, outside: 'inet', addresses: ['192.0.2.11', '192.0.2.12'] as const }
      const seen = await probeNat(lab, { ...plan, ports: [3478, 3479] })
      expect(natLabel(seen)).toBe(kind === 'double-nat' ? 'port-restricted' : kind)
      expect(seen.mapped).toContain(`${seats.get(kind)?.site.outside4}:`)
    },
  )

  test('global addresses can be called, those behind the firewall only answer', async () => {
    for (const kind of ['none', 'v6-only'] as const)
      expect(await reaches('server', seats.get(kind)?.ip6 ?? '')).toBe(true)
    for (const kind of ['none', 'v4-only'] as const)
      expect(await reaches('server', seats.get(kind)?.ip4 ?? '')).toBe(true)
    expect(await reaches('server', seats.get('v6-firewall')?.ip6 ?? '')).toBe(false)
  })

  test('a room leaves one site and joins another; two at once, the lower metric is used', async () => {
    lab.room('laptop')
    const [home, away] = ['sportrestricted', 'sv6only'].map((name) => net.sites.get(name))
    if (home === undefined || away === undefined) throw new Error('no such sites')
    const first = net.join('laptop', 'eth0', home)
    expect(await reaches('laptop', server.ip4)).toBe(true)
    const second = net.join('laptop', 'eth1', away, { metric: 50 })
    expect(await reaches('laptop', server.ip4)).toBe(true)
    expect(await reaches('laptop', server.ip6)).toBe(true)
    net.leave('laptop', first)
    expect(await reaches('laptop', server.ip4)).toBe(false)
    net.forget('laptop', second)
    expect(await reaches('laptop', server.ip6)).toBe(false)
  })
})
