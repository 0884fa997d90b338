import { expect, test } from 'vitest'
import { parseIp } from '#ntm-lib/addr/ip.ts'
import { isSubdomainOf, neverOurs, reverseAddress } from './names.ts'
import { readName, writeName } from './wire-name.ts'

/** The one spelling under which names are compared and kept; null when it is no name. */
function normalise(name: string): string | null {
  const wire = writeName(name)
  return wire === null ? null : (readName(wire, 0, false)?.text ?? null)
}

test.each([
  ['Www.Example.', 'www.example'],
  ['.', ''],
  ['', ''],
  ['a\\.b.c', 'a\\046b.c'],
  ['a..b', null],
  [`${'x'.repeat(64)}.example`, null],
  [`${`${'x'.repeat(62)}.`.repeat(4)}example`, null],
  ['münchen.example', null],
])('%s is spelt %s', (name, want) => {
  expect(normalise(name)).toBe(want)
})

test('a zone is matched by whole labels', () => {
  expect(isSubdomainOf('bob.ntm.example', 'ntm.example')).toBe(true)
  expect(isSubdomainOf('ntm.example', 'ntm.example')).toBe(true)
  expect(isSubdomainOf('evilntm.example', 'ntm.example')).toBe(false)
  expect(isSubdomainOf('example', 'ntm.example')).toBe(false)
  // A dot inside a label is no border between labels.
  expect(isSubdomainOf(normalise('bob\\.ntm.example') ?? '', 'ntm.example')).toBe(false)
})

test('local and reserved names are never ours', () => {
  for (const name of ['host', 'a.local', 'x.home.arpa', 'a.b.onion', 'localhost', 'x.invalid', '1.0.0.10.in-addr.arpa'])
    expect(neverOurs(name), name).toBe(true)
  for (const name of ['a.example', 'local.example', 'onions.example']) expect(neverOurs(name), name).toBe(false)
})

test('reverse names are read whole or not at all', () => {
  expect(reverseAddress('7.0.19.198.in-addr.arpa')).toBe(parseIp('198.19.0.7'))
  expect(reverseAddress(`${'0.'.repeat(28)}0.0.d.f.ip6.arpa`)).toEqual(parseIp('fd00::'))
  for (const name of [
    '0.19.198.in-addr.arpa',
    '07.0.19.198.in-addr.arpa',
    '256.0.0.1.in-addr.arpa',
    'x.ip6.arpa',
    `${'0.'.repeat(28)}g.0.d.f.ip6.arpa`,
    'a.example',
  ])
    expect(reverseAddress(name), name).toBeNull()
})
