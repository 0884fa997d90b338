import { expect } from 'vitest'
import { seconds } from '#ntm-lib/base/time.ts'
import { decodeSignedCertificate } from '#ntm-lib/wire/certificate.ts'
import { test } from './mirror-mode.ts'
import { System } from './system.ts'
import { storm } from './weather.ts'

const DAY = 86_400_000

const end = (s: System): number => {
  const leaf = decodeSignedCertificate(s.bridge.disk.chain[0] ?? new Uint8Array(0))
  if (!leaf.ok) throw new Error(leaf.fault)
  return leaf.value.certificate.expires
}

test('a membership is renewed from two thirds of its life, once, and the running tunnel does not notice', () => {
  const s = new System()
  expect(s.up()).toBe(true)
  const running = s.resolve('v6only.example')
  const [ends, members] = [end(s), s.store.members()]
  s.aged = 59.9 * DAY
  s.world.wait(seconds(60))
  expect(s.bridge.told('renewed')).toEqual([])
  s.aged = 60.1 * DAY
  s.world.wait(seconds(60))
  expect(s.bridge.told('renewed').length).toBe(1)
  expect(end(s)).toBeGreaterThan(ends + 59 * 86_400)
  expect(s.exchange(running)).toBe(true)
  s.world.wait(seconds(4000))
  expect(s.bridge.told('renewed').length).toBe(1)
  expect(s.store.members().map((m) => [m.name, m.pair])).toEqual(members.map((m) => [m.name, m.pair]))
  // Contracts are made on the new membership from now on, and both ends take them.
  expect(s.exchange(s.insist('another.example', seconds(5)))).toBe(true)
})

test('a box that slept through the end of its membership renews it first and is back', () => {
  for (let seed = 1; seed <= 5; seed++) {
    const s = new System({ seed, weather: storm(seed, { loss: 0.2, duplicate: 0.2 }) })
    expect(s.up()).toBe(true)
    s.world.remove('bridge')
    s.world.wait(seconds(200))
    s.aged = 200 * DAY
    s.start('bridge', s.bridge.disk)
    expect(
      s.world.run(() => s.bridge.registered, seconds(60)),
      s.world.mermaid(),
    ).toBe(true)
    expect(end(s) * 1000).toBeGreaterThan(s.today() + 80 * DAY)
    expect(s.insist('v6only.example', seconds(20))).toMatchObject({ ok: true })
  }
})

test('a terminator, whose membership a grant signed, is told that it needs a new one, and goes on until the end', () => {
  const s = new System()
  expect(s.up()).toBe(true)
  s.aged = 250 * DAY
  s.world.wait(seconds(120))
  expect(s.tt.told('refused').map((e) => e.code)).toEqual(['forbidden'])
  expect(s.tt.told('refused')[0]?.text).toContain('grant')
  expect(s.insist('v6only.example', seconds(5))).toMatchObject({ ok: true })
})
