import fc from 'fast-check'
import { expect, test } from 'vitest'
import { statusText } from './status-text.ts'

test("a terminal's status", () => {
  const status = {
    role: 'node',
    pid: 7,
    upSeconds: 4000,
    name: 'laptop.ntm.example',
    virtual: ['198.18.0.2', 'fd12::2'],
    device: 'ntm0',
    coordinator: { state: 'registered', at: ['192.0.2.1:4330'], lastError: null },
    names: { mode: 'file', listen: '127.0.0.43:53', zones: ['ntm.example'], servers: ['192.0.2.53:53'] },
    paths: [
      {
        peer: 'plc-7.ntm.example',
        state: 'open',
        way: 'relay',
        at: '192.0.2.9:4330',
        rttMs: 12.5,
        bytesIn: 1_500_000,
        bytesOut: 900,
        ageSeconds: 61,
        lastError: 'silent',
      },
    ],
    troubles: [{ about: 'x.ntm.example', what: 'peer-silent: gone', agoSeconds: 5 }],
    more: { later: true },
  }
  expect(statusText(status)).toBe(`node laptop.ntm.example   process 7, up 1 h 6 min
  virtual      198.18.0.2  fd12::2   on ntm0
  coordinator  registered   192.0.2.1:4330
  names        ntm.example   asked at 127.0.0.43:53 (file)   others: 192.0.2.53:53
  path         plc-7.ntm.example   open   relay 192.0.2.9:4330   12.5 ms   in 1.5 MB out 900 B   1 min   last error: silent
  trouble      x.ntm.example   peer-silent: gone   5 s ago
  more         {"later":true}
`)
})

test("another version's status is shown as far as it is understood", () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.constantFrom('role', 'names', 'paths', 'coordinator', 'virtual', 'x'), fc.jsonValue()),
      (s) => {
        expect(statusText(s)).toMatch(/\n$/)
      },
    ),
  )
})
