import { expect, test } from 'vitest'
import { seconds } from '#ntm-lib/base/time.ts'
import { OUTSIDE, System, TT } from './system.ts'

test('from two tokens to packets both ways: enrolment, registration, location, direction, tunnel', () => {
  const s = new System()
  expect(s.up(seconds(3)), s.world.mermaid()).toBe(true)
  expect(
    s.store
      .members()
      .map((m) => m.name)
      .toSorted(),
  ).toEqual(['plc.ntm.example', 'tt1.ntm.example'])
  expect(s.presenceOf(s.bridge.disk)?.confirmed[4]).toEqual(OUTSIDE)
  expect(s.presenceOf(s.tt.disk)?.confirmed[4]).toEqual(TT)
  const answer = s.resolve('v6only.example')
  expect(answer, s.world.mermaid()).toMatchObject({ ok: true, target: { name: 'v6only.example', ttlSeconds: 60 } })
  expect(s.exchange(answer)).toBe(true)
})
