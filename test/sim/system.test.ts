import { expect } from 'vitest'
import { ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import { seconds } from '#ntm-lib/base/time.ts'
import { innerPacket } from '#test/support/inner.ts'
import { test } from './mirror-mode.ts'
import { dotted, OUTSIDE, System, TT } from './system.ts'
import { storm } from './weather.ts'

/** Plenty for a busy machine. */
const LONG = { timeout: 60_000 }

test('from two tokens to packets both ways: enrolment, registration, location, direction, tunnel', () => {
  const s = new System()
  expect(s.up(seconds(3)), s.world.mermaid()).toBe(true)
  expect(names(s)).toEqual(['plc.ntm.example', 'tt1.ntm.example'])
  expect(s.presenceOf(s.bridge.disk)?.confirmed[4]).toEqual(OUTSIDE)
  expect(s.presenceOf(s.tt.disk)?.confirmed[4]).toEqual(TT)
  const answer = s.resolve('v6only.example')
  expect(answer, s.world.mermaid()).toMatchObject({ ok: true, target: { name: 'v6only.example', ttlSeconds: 60 } })
  expect(s.exchange(answer)).toBe(true)
})

test("the seeds' order: the terminator is told first, the initiator only after its answer", () => {
  const s = new System()
  expect(s.up()).toBe(true)
  s.tt.verdict = () => 'silent'
  s.bridge.ask('v6only.example', s.world.now)
  // Long enough for any answer that does not wait for the terminator's.
  s.world.wait(seconds(1))
  expect(s.tt.asked).toEqual(['v6only.example'])
  expect(s.bridge.answered('v6only.example')).toBeNull()
  expect(s.bridge.tunnels.list(s.world.now)).toEqual([])
  const asked = s.tt.told('asked')[0]
  if (asked === undefined) throw new Error('the terminator was not asked')
  s.tt.node.accept(asked.transaction, asked.message, { ttlSeconds: 60, families: 2 }, s.world.now)
  expect(s.world.run(() => s.bridge.answered('v6only.example') !== null, seconds(0.5))).toBe(true)
  expect(s.bridge.answered('v6only.example')).toMatchObject({ ok: true })
})

test(
  '30 % loss, copies and late arrivals: everybody comes up, names open paths, packets pass, nothing stays half-made',
  LONG,
  () => {
    for (let seed = 1; seed <= 15; seed++) {
      const s = new System({ seed, weather: storm(seed, { loss: 0.3, duplicate: 0.2, reorder: 0.3 }) })
      expect(s.up(), `seed ${seed}\n${s.world.mermaid()}`).toBe(true)
      expect(names(s)).toEqual(['plc.ntm.example', 'tt1.ntm.example'])
      const answer = s.insist('v6only.example', seconds(30))
      expect(answer, `seed ${seed}\n${s.world.mermaid()}`).toMatchObject({ ok: true })
      expect(s.exchange(answer, seconds(6)), `seed ${seed}`).toBe(true)
      expect(s.presenceOf(s.bridge.disk)?.confirmed[4]).toEqual(OUTSIDE)
      s.world.wait(seconds(20))
      drained(s, `seed ${seed}`)
      expect(s.bridge.tunnels.list(s.world.now).length).toBe(1)
      expect(s.tt.tunnels.list(s.world.now).length).toBe(1)
    }
  },
)

test('two names at once share one path, and keep different addresses', () => {
  const s = new System()
  expect(s.up()).toBe(true)
  const two = ['one.example', 'two.example']
  for (const name of two) s.bridge.ask(name, s.world.now)
  expect(s.world.run(() => two.every((n) => s.bridge.answered(n) !== null), seconds(2))).toBe(true)
  const [one, other] = two.map((n) => s.bridge.answered(n))
  if (one?.ok !== true || other?.ok !== true) throw new Error(JSON.stringify([one, other]))
  expect(one.contractHash).toEqual(other.contractHash)
  expect(one.target?.vip4).not.toBe(other.target?.vip4)
  s.world.wait(seconds(1))
  expect(s.bridge.tunnels.list(s.world.now).length).toBe(1)
  expect(s.exchange(one) && s.exchange(other)).toBe(true)
  drained(s)
})

test('a second host comes: its name makes a new contract, and the flows of the first host go on', () => {
  const s = new System()
  expect(s.up()).toBe(true)
  const host = (n: number) => ({ host: new Uint8Array(8).fill(n), name: '' })
  const claim = (...hosts: number[]): void => {
    s.bridge.hosts = hosts.map(host)
    s.bridge.version++
    s.bridge.node.changed(s.world.now)
    expect(s.world.run(() => s.bridge.registration?.hosts.length === hosts.length, seconds(1))).toBe(true)
  }
  claim(1)
  const [first] = s.bridge.registration?.hosts ?? []
  if (first === undefined) throw new Error('no grant')
  const one = s.resolve('one.example', seconds(2), [first.vip4])
  if (!one.ok || one.target === null) throw new Error(JSON.stringify(one))
  claim(1, 2)
  const [again, second] = s.bridge.registration?.hosts ?? []
  if (second === undefined) throw new Error('no second grant')
  expect(again?.vip4).toBe(first.vip4)
  const two = s.resolve('two.example', seconds(2), [second.vip4])
  if (!two.ok || two.target === null) throw new Error(JSON.stringify(two))
  expect(two.contractHash).not.toEqual(one.contractHash)
  // The first host's packets find a path at any moment of the change, and the new contract allows both.
  for (let i = 0; i < 30; i++) {
    const path = s.bridge.tunnels.pathTo4(one.target.vip4)
    if (path === null) throw new Error(`no path at ${i}`)
    expect(s.bridge.say(path, innerPacket(dotted(first.vip4), dotted(one.target.vip4), 100), s.world.now)).toBe(true)
    s.world.wait(seconds(1))
  }
  expect(s.tt.received.length).toBe(30)
  const path = s.bridge.tunnels.byContract(two.contractHash)
  if (path === null) throw new Error('gone')
  expect(s.bridge.say(path, innerPacket(dotted(second.vip4), dotted(two.target.vip4), 100), s.world.now)).toBe(true)
  s.world.wait(seconds(1))
  expect(s.tt.received.length).toBe(31)
  expect(s.bridge.tunnels.list(s.world.now).length).toBe(1)
  expect(s.tt.tunnels.list(s.world.now).length).toBe(1)
})

test('a host that appears while its bridge registers gets its pair at once, not with the next keep-alive', () => {
  for (let at = 1; at < 14; at++) {
    const s = new System()
    s.world.run(() => s.world.captured.filter((c) => c.sender === 'bridge').length >= at, seconds(3))
    s.bridge.hosts = [{ host: new Uint8Array(8).fill(1), name: '' }]
    s.bridge.version++
    s.bridge.node.changed(s.world.now)
    expect(
      s.world.run(() => s.bridge.registration?.hosts.length === 1, seconds(2)),
      s.world.mermaid(),
    ).toBe(true)
  }
})

for (const code of ['unknown-name', 'bad-address', 'resolver-down'] as const) {
  test(`the terminator declines with ${code}: the asker hears that reason, and nothing stays`, () => {
    const s = new System()
    expect(s.up()).toBe(true)
    s.tt.verdict = () => code
    const before = s.rows()
    const began = s.world.now
    expect(s.resolve('v6only.example')).toMatchObject({ ok: false, code })
    expect(s.world.now - began).toBeLessThan(500)
    s.world.wait(seconds(20))
    drained(s)
    expect(s.rows()).toBe(before)
    for (const box of [s.bridge, s.tt]) expect(box.tunnels.list(s.world.now)).toEqual([])
    s.tt.verdict = () => ({ ttlSeconds: 60, families: 2 })
    expect(s.resolve('v6only.example').ok).toBe(true)
  })
}

for (const how of ['silent', 'gone'] as const) {
  test(`the terminator is ${how}: the asker hears peer-silent within 1.8 s, and nothing stays`, () => {
    const s = new System()
    expect(s.up()).toBe(true)
    if (how === 'gone') s.world.remove('tt')
    else s.tt.verdict = () => 'silent'
    const before = s.rows()
    const began = s.world.now
    expect(s.resolve('v6only.example')).toMatchObject({ ok: false, code: 'peer-silent' })
    expect(s.world.now - began).toBeLessThan(1800)
    s.world.wait(seconds(30))
    drained(s)
    expect(s.rows()).toBe(before)
    for (const box of [s.bridge, s.tt]) expect(box.tunnels.list(s.world.now)).toEqual([])
  })
}

test('the pool of server addresses is used up: pool-exhausted, and names that are known keep working', () => {
  // A /29 has six addresses; the coordinator keeps some of them for itself.
  const servers4 = { base: ip4FromWord(0xc6130008), bits: 29 }
  const s = new System({ settings: { plan: { ...new System().settings.plan, servers4 } } })
  expect(s.up()).toBe(true)
  const answers = Array.from({ length: 8 }, (_, i) => s.resolve(`name${i}.example`))
  const given = answers.filter((a) => a.ok).length
  expect(given).toBeGreaterThan(3)
  const refused = Array(8 - given).fill('pool-exhausted')
  expect(answers.map((a) => (a.ok ? 'ok' : a.code))).toEqual([...Array(given).fill('ok'), ...refused])
  expect(s.resolve('name3.example')).toMatchObject({ ok: true })
  s.world.wait(seconds(20))
  drained(s)
})

const names = (s: System): string[] =>
  s.store
    .members()
    .map((m) => m.name)
    .toSorted()

/** Nothing under way is left at the coordinator or at the boxes' own transactions. */
function drained(s: System, what = ''): void {
  expect(s.dc.core.provisional, what).toBe(0)
  for (const box of [s.bridge, s.tt]) {
    const states = box.tunnels.list(s.world.now).map((p) => p.state)
    expect(
      states.filter((state) => state !== 'open'),
      what,
    ).toEqual([])
  }
}
