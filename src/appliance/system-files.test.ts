import { expect, test } from 'vitest'
import { parseIp } from '#ntm-lib/addr/ip.ts'
import { parseLink } from '#ntm-lib/addr/link.ts'
import type { BoxSettings } from './settings.ts'
import { systemFiles } from './system-files.ts'

const ip = (text: string) => parseIp(text) ?? expect.fail(text)
const NOTHING: BoxSettings = {
  address: 'dhcp',
  address6: 'auto',
  resolvers: [],
  ntp: [],
  ssh_keys: [],
  log: 'ram',
  ports: {},
}
const file = (box: Partial<BoxSettings>, name = '10-br0.network'): string | undefined =>
  systemFiles('bridge', { ...NOTHING, ...box }).get(name)

test('a bridge of which nothing is said', () => {
  const files = systemFiles('bridge', NOTHING)
  expect([...files.keys()].sort()).toEqual(['10-br0.network', 'log', 'role', 'timesyncd.conf'])
  expect(files.get('10-br0.network')).toBe(`# Made from ntm.toml, and made anew with it.
[Match]
Name=br0

[Link]
RequiredForOnline=no

[Network]
DHCP=ipv4
LinkLocalAddressing=ipv6
IPv6AcceptRA=yes
ConfigureWithoutCarrier=yes
IgnoreCarrierLoss=yes
KeepConfiguration=dhcp-on-stop
LLMNR=no
MulticastDNS=no

[DHCPv4]
ClientIdentifier=mac
UseDNS=yes
UseNTP=no
UseHostname=no
UseDomains=no

[IPv6AcceptRA]
UseDNS=yes
UseDomains=no
UseAutonomousPrefix=yes
DHCPv6Client=yes
`)
})

test('addresses of its own: no DHCP, and routers are heard only for what is not said', () => {
  const own = { address: { ip: ip('192.0.2.7'), bits: 24 }, gateway: ip('192.0.2.1') }
  const own6 = { address6: { ip: ip('2001:db8::7'), bits: 64 } }
  const text = file({ ...own, ...own6, resolvers: [ip('192.0.2.53')] }) ?? ''
  expect(text).toContain('DHCP=no\nLinkLocalAddressing=ipv6\nIPv6AcceptRA=yes\n')
  expect(text).toContain('Address=192.0.2.7/24\nGateway=192.0.2.1\nAddress=2001:db8::7/64\nDNS=192.0.2.53\n')
  expect(text).toContain('UseDNS=no\nUseDomains=no\nUseAutonomousPrefix=no\nDHCPv6Client=no\n')
  expect(text).not.toContain('[DHCPv4]')
  const alone = file({ ...own, ...own6, gateway6: ip('fe80::1') }) ?? ''
  expect(alone).toContain('IPv6AcceptRA=no\n')
  expect(alone).not.toContain('[IPv6AcceptRA]')
  expect(file({ address6: 'off' })).toContain('LinkLocalAddressing=no\nIPv6AcceptRA=no\n')
})

test('other roles have their address on net0', () => {
  for (const role of ['tt', 'relay', 'coordinator'] as const)
    expect(systemFiles(role, NOTHING).get('10-net0.network')).toContain('[Match]\nName=net0\n')
})

test('the rest: one file each, and none for what is not said', () => {
  const link = parseLink('52:54:00:00:00:0a') ?? expect.fail()
  const box = { hostname: 'plc-7', ntp: ['a', 'b'], ssh_keys: ['k1', 'k2'], log: 'data', ports: { net: link } } as const
  expect(file(box, 'hostname')).toBe('plc-7\n')
  expect(file(box, 'timesyncd.conf')).toContain('NTP=a b\nFallbackNTP=\n')
  expect(file(box, 'authorized_keys')).toBe('k1\nk2\n')
  expect(file(box, 'log')).toBe('data\n')
  expect(file(box, 'ports')).toBe('net=52:54:00:00:00:0a\n')
  expect(file({ resolvers: [ip('192.0.2.53')] }, 'resolv.conf')).toContain('nameserver 192.0.2.53\n')
})
