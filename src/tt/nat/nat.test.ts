import { expect, test } from 'vitest'
import { parseIp } from '#ntm-lib/addr/ip.ts'
import { parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { edgeSetup } from './edge.ts'
import { DEFAULT_PORTS, type NatPlan } from './plan.ts'
import { removal, ruleset } from './ruleset.ts'

const VECTORS = '../../../test/vectors/nft'
const both: NatPlan = {
  table: 'ntm_tt',
  inside: 'ntm0',
  uplinks: ['eth0'],
  nodes: [parsePrefix('198.18.0.0/16')!, parsePrefix('fd00:1:2::/48')!],
  tunnelPort: 4330,
  ports: DEFAULT_PORTS,
  pool4: null,
  pool6: null,
  innerMtuBytes: 1280,
}

test('the table for both families is the golden one', async () => {
  await expect(ruleset(both)).toMatchFileSnapshot(`${VECTORS}/both.nft`)
})

test('without IPv6 on the uplink, IPv6 is refused', async () => {
  const plan = { ...both, uplinks: ['eth0', 'wlan0'], nodes: both.nodes.slice(0, 1) }
  await expect(ruleset(plan)).toMatchFileSnapshot(`${VECTORS}/only-v4.nft`)
  expect(edgeSetup(plan).sysctls.some((s) => s.key.startsWith('net/ipv6'))).toBe(false)
})

test('a pool of source addresses replaces masquerading', async () => {
  const plan: NatPlan = {
    ...both,
    ports: [20000, 29999],
    pool4: [parseIp('192.0.2.10')!, parseIp('192.0.2.13')!],
    pool6: [parseIp('2001:db8::10')!, parseIp('2001:db8::13')!],
  }
  await expect(ruleset(plan)).toMatchFileSnapshot(`${VECTORS}/pool.nft`)
})

test('removal is part of every script, so applying twice is applying once', () => {
  expect(ruleset(both).startsWith(removal(both))).toBe(true)
})

test('routes and sysctls: blackhole behind the device route, accept_ra before forwarding', () => {
  const setup = edgeSetup(both)
  expect(setup.routes).toEqual([
    'route replace blackhole 198.18.0.0/16 metric 4294967295',
    'route replace blackhole fd00:1:2::/48 metric 4294967295',
    'route replace 198.18.0.0/16 dev ntm0 mtu lock 1280',
    'route replace fd00:1:2::/48 dev ntm0 mtu lock 1280',
  ])
  expect(setup.undoRoutes.length).toBe(4)
  expect(setup.sysctls).toEqual([
    { key: 'net/ipv4/ip_local_port_range', value: '1024 9999' },
    { key: 'net/ipv4/conf/ntm0/forwarding', value: '1' },
    { key: 'net/ipv4/conf/eth0/forwarding', value: '1' },
    { key: 'net/ipv4/conf/ntm0/send_redirects', value: '0' },
    { key: 'net/ipv6/conf/eth0/accept_ra', value: '2' },
    { key: 'net/ipv6/conf/all/forwarding', value: '1' },
  ])
})
