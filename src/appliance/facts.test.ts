import fc from 'fast-check'
import { expect, test } from 'vitest'
import { factsText, parseFacts } from './facts.ts'

test('lines of key=value; anything else is passed over', () => {
  expect(parseFacts('state=forwarding\nhost=eth0\n\n# no\nwhy=a=b\nBig=x\nstate=off\r\n')).toEqual({
    state: 'off',
    host: 'eth0',
    why: 'a=b',
  })
})

test('what was written is read back, on one line each', () => {
  const key = fc.stringMatching(/^[a-z][a-z0-9_]{0,8}$/).filter((k) => k !== '__proto__')
  fc.assert(
    fc.property(fc.dictionary(key, fc.stringMatching(/^[!-~]{0,20}$/)), (facts) => {
      expect(parseFacts(factsText(facts))).toEqual({ ...facts })
    }),
  )
  expect(factsText({ why: 'two\nlines ' })).toBe('why=two lines\n')
})
