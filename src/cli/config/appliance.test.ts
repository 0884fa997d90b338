import { expect, test } from 'vitest'
import { ipText } from '#ntm-lib/addr/ip.ts'
import { linkText } from '#ntm-lib/addr/link.ts'
import { ConfigError } from './fault.ts'
import { checkConfig } from './load.ts'

const box = (lines: string) => checkConfig('ntm.toml', `role = "bridge"\n[appliance]\n${lines}\n`).appliance
const complaint = (lines: string): string => {
  try {
    box(lines)
  } catch (e) {
    if (e instanceof ConfigError) return e.message
    throw e
  }
  return 'no complaint'
}
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJyMm0j4jQ2bRjuUX8JVfdz2eJpDgR0VOeVwDMBzUvWm you@desk'

test('without the table everything has its default', () => {
  const defaults = { address: 'dhcp', address6: 'auto', resolvers: [], ntp: [], ssh_keys: [], log: 'ram', ports: {} }
  for (const role of ['role = "bridge"', 'role = "relay"', 'role = "coordinator"\n[network]\ndir = "/x"'])
    expect(checkConfig('ntm.toml', `${role}\n`).appliance).toEqual(defaults)
})

test('what is good is understood', () => {
  const a = box(`
    address = "192.0.2.7/24"
    gateway = "192.0.2.1"
    address6 = "2001:db8::7/64"
    gateway6 = "fe80::1"
    resolvers = ["192.0.2.53", "2001:db8::53"]
    ntp = ["192.0.2.123", "ntp.example"]
    ssh_keys = ["${KEY}"]
    ports.host = "52-54-00-00-00-0A"
    ports.net = "52:54:00:00:00:0b"`)
  expect(a.address).toEqual({ ip: 0xc0000207, bits: 24 })
  expect(a.resolvers.map(ipText)).toEqual(['192.0.2.53', '2001:db8::53'])
  expect([a.ports.host, a.ports.net].map((l) => linkText(l!))).toEqual(['52:54:00:00:00:0a', '52:54:00:00:00:0b'])
  expect(a.ssh_keys).toEqual([KEY])
  expect(box('address = "10.0.0.0/31"').address).toMatchObject({ bits: 31 })
})

test.each([
  ['address = "192.0.2.0/24"', 'address: expected "dhcp", "off" or an IPv4 ADDRESS/BITS, got "192.0.2.0/24"'],
  ['address = "192.0.2.255/24"', 'For example "192.0.2.7/24"'],
  ['address = "192.0.2.7"', 'expected "dhcp", "off"'],
  ['address = "2001:db8::7/64"', 'an IPv4 ADDRESS/BITS'],
  ['address = "127.0.0.1/8"', 'expected "dhcp"'],
  ['address = "224.0.0.1/8"', 'expected "dhcp"'],
  ['address6 = "192.0.2.7/24"', 'an IPv6 ADDRESS/BITS'],
  ['address6 = "ff02::1/64"', 'an IPv6 ADDRESS/BITS'],
  ['address6 = "::1/128"', 'an IPv6 ADDRESS/BITS'],
  ['address = "off"\naddress6 = "off"', 'ntm.toml:3: appliance.address: the box has no address at all'],
  ['gateway = "192.0.2.1"', 'ntm.toml:3: appliance.gateway: goes with an address of its own, not with "dhcp"'],
  ['address = "192.0.2.7/25"\ngateway = "192.0.2.129"', 'ntm.toml:4: appliance.gateway: is not in the address'],
  ['address6 = "2001:db8::7/64"\ngateway6 = "2001:db8:1::1"', 'appliance.gateway6: is not in'],
  ['gateway6 = "192.0.2.1"', 'expected an IPv6 address, got "192.0.2.1"'],
  ['hostname = "PLC_7"', 'expected a host name of letters, digits and hyphens, got "PLC_7". For example "plc-7"'],
  ['hostname = "-x"', 'expected a host name'],
  ['resolvers = ["dns.example"]', 'appliance.resolvers.0: expected an IP address'],
  ['ntp = ["a b"]', 'expected a host name or an address'],
  ['log = "disk"', 'expected "ram" or "data", got "disk"'],
  ['ports.host = "52:54:00:00:00"', 'expected a link address'],
  ['ports.host = "01:00:5e:00:00:01"', 'expected a link address'],
  ['ports = { host = "52:54:00:00:00:01", net = "52:54:00:00:00:01" }', 'both ports have the same link address'],
  ['port.host = "52:54:00:00:00:01"', 'appliance.port: unknown key'],
  ['ssh_keys = ["ssh-ed25519 AAAA"]', 'expected an OpenSSH public key'],
  [`ssh_keys = ["command=\\"sh\\" ${KEY}"]`, 'expected an OpenSSH public key'],
  [`ssh_keys = ["${KEY.replace('ssh-ed25519', 'ssh-rsa')}"]`, 'expected an OpenSSH public key'],
])('%j is told with its place and what would be right', (lines, says) => {
  expect(complaint(lines)).toContain(says)
})
