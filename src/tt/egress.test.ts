import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseIp } from '#ntm-lib/addr/ip.ts'
import { ip4FromWord, ip4Text } from '#ntm-lib/addr/ip4.ts'
import { parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { EgressPolicy } from './egress.ts'

const settings = {
  allow: [],
  deny: [parsePrefix('5.5.0.0/16')!, parsePrefix('2a00:5::/32')!],
  own: [parsePrefix('9.9.9.9/32')!, parsePrefix('2620:fe::9/128')!],
  subnets: [parsePrefix('8.8.4.0/24')!],
  virtual: [parsePrefix('198.19.0.0/16')!, parsePrefix('fd00:1:3::/64')!],
}
const policy = new EgressPolicy(settings)
const why = (text: string, p = policy): string | null => p.refuses(parseIp(text)!)

test.each([
  ['10.0.0.1', 'private'],
  ['172.31.255.255', 'private'],
  ['192.168.0.1', 'private'],
  ['127.0.0.1', 'loopback'],
  ['169.254.1.1', 'link-local'],
  ['169.254.169.254', 'metadata'],
  ['100.64.0.1', 'shared'],
  ['100.100.100.200', 'metadata'],
  ['198.18.0.1', 'benchmark'],
  ['198.19.3.4', 'virtual'],
  ['192.0.2.1', 'documentation'],
  ['224.0.0.1', 'multicast'],
  ['240.0.0.1', 'reserved'],
  ['255.255.255.255', 'reserved'],
  ['0.0.0.0', 'reserved'],
  ['9.9.9.9', 'own'],
  ['5.5.1.2', 'denied'],
  ['2a00:5::1', 'denied'],
  ['64:ff9b::5.5.1.2', 'denied'],
  ['8.8.4.4', 'subnet'],
  ['::1', 'loopback'],
  ['::', 'reserved'],
  ['::7f00:1', 'reserved'],
  ['::ffff:10.0.0.1', 'transition'],
  ['::ffff:8.8.8.8', 'transition'],
  ['fe80::1', 'link-local'],
  ['fd00::1', 'private'],
  ['fd00:1:3::7', 'virtual'],
  ['fd00:ec2::254', 'metadata'],
  ['ff02::1', 'multicast'],
  ['2001:db8::1', 'documentation'],
  ['2002:0a00:0001::1', 'transition'],
  ['2001:0:1::1', 'transition'],
  ['100::1', 'reserved'],
  ['64:ff9b::127.0.0.1', 'loopback'],
  ['64:ff9b::10.0.0.1', 'private'],
  ['64:ff9b::169.254.169.254', 'metadata'],
  ['64:ff9b:1::192.168.1.1', 'private'],
  ['64:ff9b::9.9.9.9', 'own'],
  ['2620:fe::9', 'own'],
])('%s is refused: %s', (address, reason) => {
  expect(why(address)).toBe(reason)
})

test.each([
  '8.8.8.8',
  '1.1.1.1',
  '172.32.0.1',
  '198.20.0.1',
  '2606:4700::1111',
  '2001:4860:4860::8888',
  '64:ff9b::8.8.8.8',
])('%s is an ordinary address', (address) => {
  expect(why(address)).toBe(null)
})

test('`allow` opens networks on purpose, but neither our own addresses nor the virtual pools', () => {
  const open = new EgressPolicy({
    ...settings,
    allow: ['10.1.0.0/16', '2001:db8::/32', '8.8.4.0/24', '0.0.0.0/0', 'fd00:1:3::/48'].map((p) => parsePrefix(p)!),
  })
  expect([why('10.1.2.3', open), why('2001:db8::1', open), why('8.8.4.4', open)]).toEqual([null, null, null])
  expect([why('9.9.9.9', open), why('198.19.0.1', open), why('fd00:1:3::1', open)]).toEqual([
    'own',
    'virtual',
    'virtual',
  ])
})

test('what is refused in IPv4 is refused inside NAT64 addresses too', () => {
  fc.assert(
    fc.property(fc.nat(0xffffffff), (word) => {
      const four = ip4Text(ip4FromWord(word))
      expect(why(`64:ff9b::${four}`)).toBe(why(four))
    }),
  )
})

test('nothing opens loopback, multicast, mapped addresses or what is denied, not even `allow` of everything', () => {
  const all = new EgressPolicy({ ...settings, allow: [parsePrefix('0.0.0.0/0')!, parsePrefix('::/0')!] })
  for (const a of ['127.0.0.1', '::1', '224.0.0.1', 'ff02::1', '::ffff:10.0.0.1', '0.0.0.0', '::', '255.255.255.255'])
    expect(why(a, all), a).not.toBe(null)
  expect(['5.5.0.1', '64:ff9b::5.5.0.1', '64:ff9b::9.9.9.9', '64:ff9b::127.0.0.1'].map((a) => why(a, all))).toEqual([
    'denied',
    'denied',
    'own',
    'loopback',
  ])
  expect(why('10.0.0.1', all)).toBe(null)
})

test('a change of addresses is a new version of the policy', () => {
  const p = new EgressPolicy(settings)
  const before = p.version
  expect(why('8.8.8.8', p)).toBe(null)
  p.update({ own: [parsePrefix('8.8.8.8/32')!] })
  expect(why('8.8.8.8', p)).toBe('own')
  expect(why('9.9.9.9', p)).toBe(null)
  expect(p.version).toBeGreaterThan(before)
})
