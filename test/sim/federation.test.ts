import { expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { endpointText } from '#ntm-lib/addr/endpoint.ts'
import { ipText } from '#ntm-lib/addr/ip.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import { millis, seconds } from '#ntm-lib/base/time.ts'
import { nodeIdOf } from '#ntm-lib/crypto/schedule.ts'
import { endpointOf } from '#test/support/route.ts'
import { Nat, SYMMETRIC } from './nat.ts'
import { DC_B, Twins } from './twins.ts'
import { calm } from './weather.ts'

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

test('a move on either side reaches the peer through both coordinators, and a why = moved question is answered', () => {
  for (const [mover, other, to] of [
    ['laptop', 'device', '192.0.2.99:4330'],
    ['device', 'laptop', '203.0.113.99:4330'],
  ] as const) {
    const w = new Twins()
    const boxes = w.boxes()
    expect(w.up()).toBe(true)
    const there = w.resolve(boxes.laptop, 'device.b.example')
    expect(w.ping(boxes.laptop, boxes.device, there)).toBe(true)
    const before = [w.dcA, w.dcB].map((dc) => dc.counters.get('coordinator.peer-moved'))
    w.move(boxes[mover], to)
    const [path] = [...boxes[other].tunnels.paths()]
    const knows = () => path?.whereabouts.peerCandidates.some((c) => endpointText(c.endpoint) === to) === true
    expect(w.world.run(knows, seconds(3)), `${mover} moved`).toBe(true)
    const after = [w.dcA, w.dcB].map((dc) => dc.counters.get('coordinator.peer-moved'))
    // B made the contract, so it is B that tells, whoever moved.
    expect(after[0]).toBe(before[0])
    expect(after[1]).toBeGreaterThan(before[1] ?? 0)
    expect(w.ping(boxes.laptop, boxes.device, there)).toBe(true)
    expect(w.rows('a')).toEqual(w.rows('b'))
  }
})

test('a box that moved asks for its peer of the other zone and hears where it is', () => {
  const w = new Twins()
  const { laptop, device } = w.boxes()
  expect(w.up()).toBe(true)
  const there = w.resolve(laptop, 'device.b.example')
  expect(there.ok).toBe(true)
  for (const [asker, sought, at] of [
    [laptop, device, '203.0.113.20:4330'],
    [device, laptop, '192.0.2.10:4330'],
  ] as const) {
    const [path] = [...asker.tunnels.paths()]
    const node = path?.peer.node
    if (node === undefined) throw new Error('no path')
    asker.node.direct('where', { sought: { by: 'node', node }, why: 'moved', sources: [] }, w.world.now)
    expect(w.world.run(() => asker.answered('where') !== null, seconds(2))).toBe(true)
    expect(asker.answered('where'), sought.name).toMatchObject({ ok: true })
    expect(path?.whereabouts.peerCandidates.map((c) => endpointText(c.endpoint))).toContain(at)
    asker.directed.delete('where')
  }
})

test('B is down: running tunnels go on, new names fail in time, and all is well when it is back', () => {
  const w = new Twins()
  const { laptop, device } = w.boxes()
  const second = w.box('b', 'second', '203.0.113.21:4330')
  expect(w.up()).toBe(true)
  const there = w.resolve(laptop, 'device.b.example')
  w.stop('b')
  const begun = w.world.now
  expect(w.resolve(laptop, 'second.b.example')).toMatchObject({ ok: false, code: 'peer-silent' })
  expect(w.world.now - begun).toBeLessThan(1800)
  expect(w.ping(laptop, device, there)).toBe(true)
  w.world.wait(seconds(30))
  expect(w.ping(laptop, device, there)).toBe(true)
  expect(w.dcA.links.up).toEqual([])
  expect(w.a.lines('dc-a', 'federation.down').length).toBe(1)
  expect(w.dcA.core.provisional).toBe(0)
  w.start('b')
  const back = () => w.dcA.links.up.length === 1 && second.registered
  expect(w.world.run(back, seconds(60))).toBe(true)
  w.world.wait(seconds(30))
  const again = w.resolve(laptop, 'second.b.example')
  expect(again).toMatchObject({ ok: true })
  expect(w.ping(laptop, second, again)).toBe(true)
  expect(w.ping(laptop, device, there)).toBe(true)
})

test('either coordinator starts anew: the contract stands, and the next direction finds it', () => {
  for (const which of ['a', 'b'] as const) {
    const w = new Twins()
    const { laptop, device } = w.boxes()
    expect(w.up()).toBe(true)
    const there = w.resolve(laptop, 'device.b.example')
    const rows = w.rows('a')
    w.start(which)
    w.world.wait(seconds(60))
    const [one, two] = [w.resolve(laptop, 'device.b.example'), w.resolve(device, 'laptop.ntm.example')]
    expect([one, two], which).toMatchObject([{ ok: true }, { ok: true }])
    expect([w.rows('a'), w.rows('b')]).toEqual([rows, rows])
    expect(w.ping(laptop, device, there)).toBe(true)
  }
})

test('a box that lost its tunnels in a restart gets a new contract, and the old one is gone on both sides', () => {
  for (const which of ['laptop', 'device'] as const) {
    const w = new Twins()
    const boxes = w.boxes()
    expect(w.up()).toBe(true)
    w.resolve(boxes.laptop, 'device.b.example')
    const rows = w.rows('a')
    boxes[which] = w.again(boxes[which])
    expect(w.up()).toBe(true)
    w.world.wait(seconds(1))
    expect([w.rows('a'), w.rows('b')], which).toEqual([[], []])
    const there = w.resolve(boxes.laptop, 'device.b.example')
    expect(there, which).toMatchObject({ ok: true })
    expect(w.ping(boxes.laptop, boxes.device, there)).toBe(true)
    expect(w.rows('a')).toEqual(w.rows('b'))
    expect(w.rows('a')).not.toEqual(rows)
  }
})

test('who is shut out in one zone is cut off from the other at once', () => {
  for (const which of ['a', 'b'] as const) {
    const w = new Twins()
    const { laptop, device } = w.boxes()
    expect(w.up()).toBe(true)
    w.resolve(laptop, 'device.b.example')
    const [dc, gone, left] = which === 'a' ? [w.dcA, laptop, device] : [w.dcB, device, laptop]
    // It says nothing itself: not even that it closes its tunnels.
    w.world.remove(gone.name)
    dc.core.revoke(nodeIdOf(nodeCrypto, gone.disk.key.public), w.world.now)
    expect(
      w.world.run(() => [...left.tunnels.paths()].length === 0, seconds(1)),
      which,
    ).toBe(true)
    expect([w.rows('a'), w.rows('b')]).toEqual([[], []])
  }
})

test.each([1, 2, 3, 4, 5, 6, 7, 8])('no contract without both sides: bad weather, outages, seed %i', (seed) => {
  let state = seed * 7919
  const dice = (n: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    return Math.floor(state / 65_536) % n
  }
  const w = new Twins({
    seed,
    weather: () => (dice(10) === 0 ? [] : dice(10) === 0 ? [millis(10), millis(30)] : [millis(5 + dice(20))]),
  })
  const { laptop, device } = w.boxes()
  expect(w.up(seconds(120))).toBe(true)
  for (let round = 0; round < 6; round++) {
    const [from, name] = dice(2) === 0 ? [laptop, 'device.b.example'] : ([device, 'laptop.ntm.example'] as const)
    from.ask(name, w.world.now)
    if (dice(3) === 0) w.start(dice(2) === 0 ? 'a' : 'b')
    w.world.wait(millis(dice(3000)))
  }
  w.world.wait(seconds(90))
  // What one coordinator keeps the other may have lost a word of, but nothing half-made stays, and asking mends it.
  expect([w.dcA.core.provisional, w.dcB.core.provisional]).toEqual([0, 0])
  w.world.weather = calm
  const there = w.resolve(laptop, 'device.b.example', seconds(4))
  expect(there).toMatchObject({ ok: true })
  expect(w.ping(laptop, device, there)).toBe(true)
  expect(w.rows('a')).toEqual(w.rows('b'))
  for (const dc of [w.dcA, w.dcB]) expect(dc.core.provisional).toBe(0)
})

test('a contract that only the other coordinator still knows is made anew', () => {
  const w = new Twins()
  const { laptop, device } = w.boxes()
  expect(w.up()).toBe(true)
  w.resolve(laptop, 'device.b.example')
  const [row] = w.a.store.members().flatMap((m) => w.a.store.contractsOf(m.node))
  if (row === undefined) throw new Error('no contract')
  w.a.store.removeContract(row.initiator, row.correspondent)
  w.world.wait(seconds(30))
  const there = w.resolve(laptop, 'device.b.example')
  expect(there).toMatchObject({ ok: true })
  expect(w.ping(laptop, device, there)).toBe(true)
  expect(w.rows('a')).toEqual(w.rows('b'))
  expect(w.rows('a').length).toBe(1)
})

test.each(['seed', 'ice'] as const)(
  'two boxes behind symmetric NATs meet through a relay of the zone that is asked (%s)',
  (optimise) => {
    const w = new Twins({ optimise })
    const relay = w.relay('b', '198.51.100.9:4330')
    const laptop = w.box('a', 'laptop', '192.168.1.2:4330', new Nat(endpointOf('203.0.113.5:1').ip, SYMMETRIC))
    const device = w.box('b', 'device', '192.168.7.2:4330', new Nat(endpointOf('203.0.113.77:1').ip, SYMMETRIC))
    expect(w.up()).toBe(true)
    const there = w.resolve(laptop, 'device.b.example', seconds(4))
    expect(there).toMatchObject({ ok: true })
    expect(w.ping(laptop, device, there)).toBe(true)
    expect(relay.core.paths).toBe(1)
    const [path] = [...laptop.tunnels.paths()]
    expect(path?.ways?.used.kind).toBe('relay')
    // Whoever asks, and whichever coordinator: the legs are those that the contract's maker made.
    for (const [asker, sought] of [
      [laptop, device],
      [device, laptop],
    ] as const) {
      const node = nodeIdOf(nodeCrypto, sought.disk.key.public)
      asker.node.direct('where', { sought: { by: 'node', node }, why: 'moved', sources: [] }, w.world.now)
      expect(w.world.run(() => asker.answered('where') !== null, seconds(2))).toBe(true)
      expect([...asker.tunnels.paths()][0]?.whereabouts.relay, asker.name).not.toBeNull()
    }
    expect(w.dcA.counters.get('coordinator.direction.moved')).toBe(0)
    // The initiator's coordinator has no part in it, and the end of the contract frees the relay.
    expect([w.dcA.core.relayed, w.dcB.core.relayed]).toEqual([0, 1])
    w.dcA.core.revoke(nodeIdOf(nodeCrypto, laptop.disk.key.public), w.world.now)
    w.world.wait(seconds(2))
    expect([w.dcA.core.relayed, w.dcB.core.relayed]).toEqual([0, 0])
  },
)

test('a false lead in DNS: nothing of our boxes is told to it, and it is not called for ever', () => {
  const w = new Twins({ configured: false })
  const { laptop } = w.boxes()
  expect(w.up()).toBe(true)
  const EVE = endpointOf('192.0.2.66:4330')
  w.a.lookUp = () => ({ endpoints: [EVE], key: nodeCrypto.x25519Pair().public })
  const begun = w.world.now
  expect(w.resolve(laptop, 'device.b.example', seconds(2), 'peer')).toMatchObject({ ok: false, code: 'unknown-name' })
  expect(w.world.now - begun).toBeLessThan(1700)
  w.world.wait(seconds(120))
  const sent = w.world.captured.filter((c) => c.to.ip === EVE.ip)
  expect(sent.length).toBeGreaterThan(0)
  expect(new Set(sent.map((c) => c.bytes[0])).size).toBe(1)
  const newest = Math.max(...sent.map((c) => c.when))
  expect(newest - begun).toBeLessThan(70_000)
  // A true key at a false address, and a coordinator of another zone than the name's.
  w.a.lookUp = () => ({ ...w.lead('b'), endpoints: [DC_B] })
  expect(w.resolve(laptop, 'device.c.example', seconds(2), 'peer')).toMatchObject({ ok: false, code: 'unknown-name' })
  expect(w.dcB.counters.get('coordinator.foreign.unknown-name')).toBe(0)
  expect(w.rows('a')).toEqual([])
})

test('a coordinator that proves another zone than it is configured for is told of nobody', () => {
  const w = new Twins({ configured: false })
  const { laptop } = w.boxes()
  w.a.federation.push({ zone: 'c.example', lead: w.lead('b') })
  w.start('a')
  w.world.wait(seconds(60))
  expect(laptop.registered).toBe(true)
  expect(w.resolve(laptop, 'device.c.example')).toMatchObject({ ok: false, code: 'peer-silent' })
  expect(w.dcB.counters.get('coordinator.foreign.unknown-name')).toBe(0)
  expect(w.a.lines('dc-a', 'federation.refused').length).toBe(1)
})
