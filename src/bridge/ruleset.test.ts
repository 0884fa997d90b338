import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseLink } from '#ntm-lib/addr/link.ts'
import { parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { type DivertPlan, disarmScript, divertScript, guardScript, refreshScript, removeScript } from './ruleset.ts'

const plan: DivertPlan = {
  host: 'host0',
  net: 'net0',
  tap: 'ntmx0',
  box: parseLink('02:00:00:00:00:bb')!,
  virtual: ['198.18.0.0/16', '198.19.0.0/16', 'fd12:3456:789a::/48', 'fd12:3456:789b:1::/64'].map(
    (p) => parsePrefix(p)!,
  ),
}

test.each([
  ['guard', guardScript(plan)],
  ['divert', divertScript(plan)],
  ['refresh', refreshScript(plan)],
  ['disarm', disarmScript()],
  ['remove', removeScript()],
])('the %s script is the golden one', (name, script) => {
  expect(script).toBe(readFileSync(join(import.meta.dirname, `../../test/vectors/nft/bridge-${name}.nft`), 'utf8'))
})

test('a network of one family makes rules of one family', () => {
  const four = { ...plan, virtual: [parsePrefix('10.99.0.0/16')!] }
  expect(guardScript(four)).not.toContain('ip6 ')
  expect(guardScript(four)).toContain('ip daddr { 10.99.0.0/16 }')
  expect(divertScript(four)).not.toContain('nd-neighbor-solicit')
})

test('failing closed shuts every name below a zone, of any length and case, in parts of 16 bytes', () => {
  const script = guardScript({ ...plan, closed: ['ntm.example'] })
  expect(script).toContain('    udp dport 53 jump closed\n')
  // "a." before the zone: 20 + 2 bytes into UDP; letters lose their case bit, length bytes do not.
  expect(script).toContain('@th,176,104 & 0xffdfdfdfffdfdfdfdfdfdfdfff == 0x034e544d074558414d504c4500 counter drop')
  expect(script.match(/counter drop/g)?.length).toBe(241 + 6)
  expect(guardScript({ ...plan, closed: ['', 'bad..name'] })).toBe(guardScript(plan))
})
