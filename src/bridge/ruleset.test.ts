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
