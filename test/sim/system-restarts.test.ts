import { expect } from 'vitest'
import { seconds } from '#ntm-lib/base/time.ts'
import { test } from './mirror-mode.ts'
import { System } from './system.ts'
import { storm } from './weather.ts'

const LONG = { timeout: 60_000 }

test('the coordinator restarts after any datagram: no member, name or address is lost or made twice', LONG, () => {
  for (let at = 1; at <= 44; at++) {
    const s = new System({ seed: at })
    let asked = false
    s.world.run(() => {
      if (!asked && s.bridge.registered && s.tt.registered) {
        asked = true
        s.bridge.ask('v6only.example', s.world.now)
      }
      return s.world.captured.length >= at
    }, seconds(5))
    const before = { members: s.store.members(), servers: [...s.store.servers()] }
    s.startCoordinator()
    const where = `after ${at} datagrams\n${s.world.mermaid()}`
    expect(s.up(seconds(40)), where).toBe(true)
    const answer = s.insist('v6only.example', seconds(20))
    expect(answer, where).toMatchObject({ ok: true })
    expect(s.exchange(answer), where).toBe(true)
    for (const m of before.members)
      expect(s.store.member(m.node), where).toMatchObject({ name: m.name, pair: m.pair, chain: m.chain })
    expect(s.store.members().length, where).toBe(2)
    for (const v of before.servers) expect(answer.ok && answer.target?.vip4, where).toBe(v.pair.vip4)
    expect([...s.store.servers()].length, where).toBe(1)
    s.world.wait(seconds(20))
    expect(s.dc.core.provisional, where).toBe(0)
  }
})

test('a running tunnel does not notice that the coordinator is away for ten minutes and comes back', () => {
  const s = new System()
  expect(s.up()).toBe(true)
  const answer = s.resolve('v6only.example')
  if (!answer.ok) throw new Error(answer.code)
  s.world.remove('dc')
  for (let i = 0; i < 60; i++) {
    expect(s.exchange(answer), `minute ${i / 6}`).toBe(true)
    s.world.wait(seconds(10))
  }
  expect(s.resolve('another.example')).toMatchObject({ ok: false, code: 'timeout' })
  const paths = s.bridge.tunnels.list(s.world.now)
  s.startCoordinator()
  expect(s.world.run(() => s.bridge.registered && s.tt.registered, seconds(20))).toBe(true)
  expect(s.exchange(answer)).toBe(true)
  expect(s.resolve('another.example')).toMatchObject({ ok: true, contractHash: answer.contractHash })
  expect(s.bridge.tunnels.list(s.world.now).map((p) => p.path)).toEqual(paths.map((p) => p.path))
})

test('after a restart of the coordinator the terminator is back within its keep-alive of 5 s, and names work then', () => {
  for (const quietFor of [0.1, 1.3, 2.7, 4.9]) {
    const s = new System()
    expect(s.up()).toBe(true)
    s.world.wait(seconds(30 + quietFor))
    s.startCoordinator()
    const began = s.world.now
    expect(s.world.run(() => s.presenceOf(s.tt.disk) !== null, seconds(60))).toBe(true)
    expect(s.world.now - began).toBeLessThan(5500)
    // The bridge has not spoken since: its own question brings it back, and is answered.
    expect(s.resolve('v6only.example'), s.world.mermaid()).toMatchObject({ ok: true })
  }
})

test('the terminator restarts: the old path is reset, the next name makes another one', () => {
  const s = new System()
  expect(s.up()).toBe(true)
  const old = s.resolve('v6only.example')
  expect(s.exchange(old)).toBe(true)
  s.start('tt', s.tt.disk)
  expect(s.world.run(() => s.tt.registered, seconds(5))).toBe(true)
  // A packet of the host's: the terminator says that it has forgotten the path.
  if (!old.ok) throw new Error('no path')
  expect(s.exchange(old, seconds(1))).toBe(false)
  s.world.wait(seconds(2))
  expect(s.bridge.told('path-gone').map((e) => e.why)).toEqual(['reset'])
  const fresh = s.resolve('v6only.example')
  if (!fresh.ok) throw new Error(fresh.code)
  expect(fresh.contractHash).not.toEqual(old.contractHash)
  expect(fresh.target?.vip4).toBe(old.target?.vip4)
  expect(s.exchange(fresh)).toBe(true)
  expect(s.bridge.tunnels.list(s.world.now).length).toBe(1)
})

test('the terminator restarts unnoticed: a name asked at once opens another path and closes the old one', () => {
  const s = new System()
  expect(s.up()).toBe(true)
  const old = s.resolve('v6only.example')
  s.start('tt', s.tt.disk)
  const fresh = s.insist('v6only.example', seconds(8))
  if (!fresh.ok || !old.ok) throw new Error('no path')
  expect(fresh.contractHash).not.toEqual(old.contractHash)
  expect(s.exchange(fresh)).toBe(true)
  s.world.wait(seconds(60))
  expect(s.bridge.tunnels.list(s.world.now).length, s.world.mermaid()).toBe(1)
  expect(s.exchange(fresh)).toBe(true)
})

test('the bridge restarts: same name and addresses, another path, and the terminator forgets the old one', () => {
  const s = new System()
  expect(s.up()).toBe(true)
  const old = s.resolve('v6only.example')
  const [vip4, vip6] = [s.bridge.registration?.vip4, s.bridge.registration?.vip6]
  s.start('bridge', s.bridge.disk)
  const fresh = s.insist('v6only.example', seconds(8))
  if (!fresh.ok || !old.ok) throw new Error('no path')
  expect(fresh.contractHash).not.toEqual(old.contractHash)
  expect(fresh.target?.vip4).toBe(old.target?.vip4)
  expect([s.bridge.registration?.vip4, s.bridge.registration?.vip6]).toEqual([vip4, vip6])
  expect(s.exchange(fresh)).toBe(true)
  s.world.wait(seconds(60))
  expect(s.tt.tunnels.list(s.world.now).length, s.world.mermaid()).toBe(1)
})

test('all three restart at once, in any weather: the next name works, members and addresses are the same', LONG, () => {
  for (let seed = 1; seed <= 15; seed++) {
    const s = new System({ seed, weather: storm(seed, { loss: 0.15, duplicate: 0.2, reorder: 0.2 }) })
    expect(s.up()).toBe(true)
    const old = s.insist('v6only.example', seconds(20))
    const members = s.store.members()
    s.startCoordinator()
    s.start('tt', s.tt.disk)
    s.start('bridge', s.bridge.disk)
    const fresh = s.insist('v6only.example', seconds(30))
    expect(fresh, `seed ${seed}\n${s.world.mermaid()}`).toMatchObject({ ok: true })
    expect(fresh.ok && old.ok && fresh.target?.vip4 === old.target?.vip4).toBe(true)
    expect(s.up()).toBe(true)
    expect(s.exchange(fresh, seconds(5)), `seed ${seed}`).toBe(true)
    expect(s.store.members().map((m) => [m.name, m.pair, m.chain])).toEqual(
      members.map((m) => [m.name, m.pair, m.chain]),
    )
  }
})
