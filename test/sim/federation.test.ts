import { expect, test } from 'vitest'
import { ipText } from '#ntm-lib/addr/ip.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import { millis, seconds } from '#ntm-lib/base/time.ts'
import { Twins } from './twins.ts'

test('found by configuration: a node of each zone reaches the other by name, over one contract both coordinators keep', () => {
  const w = new Twins()
  const { laptop, device } = w.boxes()
  expect(w.up()).toBe(true)
  expect(laptop.registration?.zones).toEqual(['ntm.example', 'b.example'])
  const there = w.resolve(laptop, 'device.b.example')
  expect(there).toMatchObject({ ok: true, target: { name: 'device.b.example' } })
  expect(w.ping(laptop, device, there)).toBe(true)
  const back = w.resolve(device, 'laptop.ntm.example')
  expect(back).toMatchObject({ ok: true })
  expect(w.ping(device, laptop, back)).toBe(true)
  expect(w.rows('a')).toEqual(w.rows('b'))
  expect(w.rows('a').length).toBe(1)
  w.world.wait(seconds(20))
  expect([w.dcA.core.provisional, w.dcB.core.provisional]).toEqual([0, 0])
})

test('each zone gives out its own slice, and neither coordinator takes the other for a member', () => {
  const w = new Twins()
  const { laptop, device } = w.boxes()
  expect(w.up()).toBe(true)
  expect([laptop, device].map((b) => ipText(b.registration?.vip4 ?? (0 as never)))).toEqual([
    '198.18.0.1',
    '198.18.128.1',
  ])
  w.resolve(laptop, 'device.b.example')
  expect(w.b.store.members().map((m) => m.name)).toEqual(['device.b.example'])
  expect(w.a.store.members().map((m) => m.name)).toEqual(['laptop.ntm.example'])
})

test.each([1, 2, 3, 4, 5, 6])('directions that cross between the zones end in one path, seed %i', (seed) => {
  const w = new Twins({ seed })
  const { laptop, device } = w.boxes()
  expect(w.up()).toBe(true)
  laptop.ask('device.b.example', w.world.now)
  w.world.wait(millis([0, 1, 5, 10, 12, 25][seed - 1] ?? 0))
  device.ask('laptop.ntm.example', w.world.now)
  const done = () => laptop.answered('device.b.example') !== null && device.answered('laptop.ntm.example') !== null
  expect(w.world.run(done, seconds(2))).toBe(true)
  const [one, two] = [laptop.answered('device.b.example'), device.answered('laptop.ntm.example')]
  expect([one, two]).toMatchObject([{ ok: true }, { ok: true }])
  w.world.wait(seconds(30))
  expect(w.rows('a')).toEqual(w.rows('b'))
  expect(w.rows('a').length).toBe(1)
  for (const box of [laptop, device])
    expect([...box.tunnels.paths()].map((p) => hex(p.contractHash))).toEqual(w.rows('a'))
  expect([w.dcA.core.provisional, w.dcB.core.provisional]).toEqual([0, 0])
})

test("found by DNS alone: a name that its asker knows to be a box's, of a zone nobody configured", () => {
  const w = new Twins({ configured: false })
  const { laptop, device } = w.boxes()
  const asked: string[] = []
  w.a.lookUp = (name) => {
    asked.push(name)
    return name === 'device.b.example' ? w.lead('b') : null
  }
  expect(w.up()).toBe(true)
  const there = w.resolve(laptop, 'device.b.example', seconds(2), 'peer')
  expect(there).toMatchObject({ ok: true, target: { name: 'device.b.example' } })
  expect(w.ping(laptop, device, there)).toBe(true)
  // B found A by the hello that A said.
  expect(w.resolve(device, 'laptop.ntm.example', seconds(2), 'peer')).toMatchObject({ ok: true })
  expect(asked).toEqual(['device.b.example'])
  // A name of nobody's is asked for once in a while, and an ordinary name never.
  expect(w.resolve(laptop, 'www.c.example', seconds(2), 'peer')).toMatchObject({ ok: false, code: 'unknown-name' })
  expect(w.resolve(laptop, 'www.c.example', seconds(2), 'peer')).toMatchObject({ ok: false, code: 'unknown-name' })
  expect(w.resolve(laptop, 'web.d.example')).toMatchObject({ ok: false, code: 'peer-silent' })
  expect(asked).toEqual(['device.b.example', 'www.c.example'])
})
