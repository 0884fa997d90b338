import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { MESSAGES } from '#ntm-lib/wire/codec.ts'
import { PAGE, render } from './wire-doc.ts'

test('docs/wire.md is what the tables say (otherwise: npm run docs)', () => {
  expect(readFileSync(PAGE, 'utf8')).toBe(render())
})

test('every message has its section and its explanation', () => {
  const page = render()
  for (const kind of Object.keys(MESSAGES)) {
    expect(page).toContain(`<a id="${kind}"></a>`)
    // The overview's last cell is the comment in front of the type.
    if (!/(close|confirm|moved|release)-response$/.test(kind))
      expect(page).toMatch(new RegExp(`\\(#${kind}\\) \\| \\S.* \\|\\n`))
  }
  expect(page).toContain('| 73 | openerMembership | 32 |')
  expect(page).not.toMatch(/undefined|\{\{|NaN/)
})

test('every link inside the page has its target', () => {
  const page = render()
  const targets = new Set([...page.matchAll(/<a id="([^"]+)">/g)].map((m) => m[1]))
  expect([...page.matchAll(/\]\(#([^)]+)\)/g)].map((m) => m[1]).filter((link) => !targets.has(link))).toEqual([])
})
