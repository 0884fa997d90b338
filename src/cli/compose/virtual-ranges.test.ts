import { expect, test } from 'vitest'
import { parseIp } from '#ntm-lib/addr/ip.ts'
import { prefixText } from '#ntm-lib/addr/prefix.ts'
import { type RangeOptions, virtualRanges } from './virtual-ranges.ts'

const own = ['198.51.100.10', '10.1.2.3', 'fd00:1::5'].map((t) => parseIp(t) ?? (0 as never))
const complaint = (o: RangeOptions): string => {
  try {
    virtualRanges(o, own)
  } catch (e) {
    return e instanceof Error ? e.message : String(e)
  }
  return 'no complaint'
}

test('nothing given leaves everything to the defaults; what is given is taken', () => {
  expect(virtualRanges({}, own)).toEqual({})
  const r = virtualRanges(
    { nodes4: '100.64.0.0/16', servers4: '198.19.0.0/29', ula: 'fd12:3456:789a::/48, fd12:3456:789b::/64' },
    own,
  )
  expect([r.nodes4, r.servers4, r.ula?.nodes6, r.ula?.servers].map((p) => p && prefixText(p))).toEqual([
    '100.64.0.0/16',
    '198.19.0.0/29',
    'fd12:3456:789a::/48',
    'fd12:3456:789b::/64',
  ])
  expect(virtualRanges({ ula: 'fd12:3456:789a::/48' }, own).ula?.servers).toBeUndefined()
})

test.each([
  [{ nodes4: '10.0.0.1/8' }, '--nodes4 10.0.0.1/8: expected an IPv4 prefix whose host bits are zero'],
  [{ servers4: 'fd00::/8' }, 'expected an IPv4 prefix'],
  [{ servers4: '198.19.0.0/30' }, 'expected 8 to 29 bits'],
  [{ servers4: '0.0.0.0/1' }, 'expected 8 to 29 bits'],
  [{ servers4: '127.1.0.0/16' }, '127.0.0.0/8 cannot be used'],
  [{ servers4: '240.0.0.0/8' }, '224.0.0.0/3 cannot be used'],
  [
    { servers4: '198.18.5.0/24' },
    'nodes and servers need ranges of their own; 198.18.0.0/16 and 198.18.5.0/24 overlap',
  ],
  [{ nodes4: '198.19.0.0/24' }, '--nodes4: nodes and servers need ranges of their own'],
  [{ servers4: '10.1.0.0/16' }, "--servers4: the coordinator's own address 10.1.2.3 lies in 10.1.0.0/16"],
  [{ ula: 'fd00:1::/48' }, "--ula: the coordinator's own address fd00:1::5 lies in fd00:1::/48"],
  [{ ula: '2001:db8::/48' }, 'expected one or two prefixes within fd00::/8'],
  [{ ula: 'fd12::/47' }, "the nodes' prefix is a /48"],
  [{ ula: 'fd12::/48,fd13::/48' }, "the servers' prefix is a /64"],
  [{ ula: 'fd12::/48,fd12::/64' }, "must lie outside the nodes'"],
  [{ ula: 'fd12::/48,fd13::/64,fd14::/64' }, 'one or two prefixes'],
] as const)('%j is refused with what would be right', (o, says) => {
  expect(complaint(o)).toContain(says)
})
