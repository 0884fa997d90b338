import { expect, test } from 'vitest'
import { oneLine } from './nft.ts'

test('a script becomes one line: comments go, statements are kept apart, lists are joined', () => {
  const script = `
# heading; with a semicolon
table ip t {
  flags owner   # who owns it
  set s {
    elements = { 192.0.2.1,
                 192.0.2.2 }
  }
  chain c {
    ip saddr 192.0.2.1 drop comment "a # inside quotes"
  }
}
add element ip t s { 192.0.2.3 }; delete element ip t s { 192.0.2.1 }
`
  expect(oneLine(script)).toBe(
    'table ip t { flags owner ; set s { elements = { 192.0.2.1, 192.0.2.2 } ; } ; chain c { ' +
      'ip saddr 192.0.2.1 drop comment "a # inside quotes" ; } ; } ; ' +
      'add element ip t s { 192.0.2.3 }; delete element ip t s { 192.0.2.1 }',
  )
})
