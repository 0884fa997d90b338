import { expect, test } from 'vitest'
import { ownImports, toJavaScript } from './strip.ts'

test('types go, lines stay, and imports name the JavaScript', () => {
  const source = [
    "import type { A } from './a.ts'",
    "import { b, type C } from '#io/b.ts'",
    "export { d } from '../d.ts'",
    "const later = () => import('./e.ts')",
    "import 'node:fs'",
    "const text: string = 'kept: ./f.ts'",
  ].join('\n')
  const script = toJavaScript(source)
  expect(script.split('\n')).toHaveLength(6)
  expect(script).not.toContain('type C')
  expect(script).not.toContain(': string')
  expect(script).toContain("'kept: ./f.ts'")
  expect(ownImports(script)).toEqual(['#io/b.js', '../d.js', './e.js'])
})

test('an import over several lines is one of ours too', () => {
  expect(ownImports(toJavaScript("import {\n  a,\n  b,\n} from '#ntm-lib/base/a.ts'\n"))).toEqual([
    '#ntm-lib/base/a.js',
  ])
})
