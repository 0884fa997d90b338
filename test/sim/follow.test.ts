import { expect } from 'vitest'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { millis, seconds } from '#ntm-lib/base/time.ts'
import type { Path } from '#ntm-lib/negotiate/tunnels.ts'
import { fresh } from '#ntm-lib/negotiate/way.ts'
import { endpointOf } from '#test/support/route.ts'
import { test } from './mirror-mode.ts'
import { ALICE, BOB, EVE, Pair } from './pair.ts'
import { calm } from './weather.ts'

const ELSEWHERE = endpointOf('198.51.100.77:4330')

function opened(): Pair {
  const pair = new Pair()
  pair.direct()
  expect(pair.world.run(() => pair.bothOpen && pair.agreed, seconds(5))).toBe(true)
  pair.world.wait(seconds(1))
  return pair
}

test('a check is answered where it came from, within three times its size, and nobody follows it', () => {
  const pair = opened()
  const { world } = pair
  const told = { ...pair.routes.acceptor, peerLocationVersion: 2 }
  const candidate = { type: 'local', endpoint: EVE, priority: 1 } as const
  expect(pair.bob.tunnels.relocate(pair.routes.contractHash, { ...told, peerCandidates: [candidate] }, world.now)).toBe(
    true,
  )
  expect(pair.bob.tunnels.relocate(pair.routes.contractHash, { ...told, peerLocationVersion: 1 }, world.now)).toBe(
    false,
  )
  world.wait(seconds(4))
  // Bob asks at Eve's address, five times; what Alice gets of it comes from yet another.
  const checks = world.captured.filter((c) => c.to.ip === EVE.ip)
  expect(checks.length).toBe(5)
  const from = world.captured.length
  for (const c of checks) world.inject(ELSEWHERE, ALICE, c.bytes, millis(1))
  world.wait(millis(100))
  const answers = world.captured.slice(from).filter((c) => c.to.ip === ELSEWHERE.ip)
  expect(answers.length).toBe(5)
  expect(bytesOf(answers)).toBeLessThanOrEqual(3 * bytesOf(checks))
  expect([pair.alicePath?.peerEndpoint, pair.alicePath?.address?.trial]).toEqual([BOB, null])
  expect(pair.alice.counters.get('ntm.tunnel.address-trial')).toBe(0)
  expect(pair.aliceSays().ok).toBe(true)
  world.wait(millis(100))
  expect(pair.bob.received.length).toBe(1)
})

test('who has just taken a way that works is not drawn elsewhere by what was under way, and after that follows as ever', () => {
  const pair = opened()
  const { world } = pair
  world.wait(seconds(1))
  const path = pair.bobPath as Path
  tookNow(pair, path)
  deliver(pair, 'alice', ELSEWHERE)
  expect(path.address?.trial).toBeNull()
  world.wait(millis(400))
  deliver(pair, 'alice', ELSEWHERE)
  expect(path.address?.trial?.to).toEqual(ELSEWHERE)
})

test('data goes to a new address at once, no more than three times what came from there, and the rest where the peer was', () => {
  const pair = opened()
  const { world } = pair
  deliver(pair, 'alice', ELSEWHERE, 300)
  const path = pair.bobPath as Path
  expect(path.address?.trial?.bytesIn).toBe(332)
  const from = world.captured.length
  for (let i = 0; i < 20; i++) pair.bobSays(100)
  world.wait(millis(15))
  const sent = world.captured.slice(from).filter((c) => c.sender === 'bob' && c.bytes.length === 132)
  const ahead = sent.filter((c) => c.to.ip === ELSEWHERE.ip)
  expect([sent.length, ahead.length]).toEqual([20, Math.floor((3 * 332 - 3 * 43) / 132)])
  const all = world.captured.filter((c) => c.to.ip === ELSEWHERE.ip)
  expect(bytesOf(all)).toBeLessThanOrEqual(3 * 332)
  expect(sent.filter((c) => c.to.ip === ALICE.ip).length).toBe(20 - ahead.length)
})

test('a way that the peer says it took is not answered when something newer has overtaken that, and is when it is said again', () => {
  const pair = opened()
  const { world } = pair
  world.wait(seconds(1))
  const [took, asked] = [checkOf(pair, true), checkOf(pair, false)]
  world.inject(ALICE, BOB, asked, millis(1))
  world.wait(millis(2))
  const answers = (bytes: Uint8Array): number => {
    const from = world.captured.length
    world.inject(ELSEWHERE, BOB, bytes, millis(1))
    world.wait(millis(5))
    return world.captured.slice(from).filter((c) => c.to.ip === ELSEWHERE.ip).length
  }
  expect(answers(took)).toBe(0)
  expect(pair.bobPath?.address).toMatchObject({ current: ALICE, trial: null })
  expect(answers(checkOf(pair, true))).toBeGreaterThan(0)
  expect(pair.bobPath?.address?.trial?.to).toEqual(ELSEWHERE)
})

/** A check of Alice's on the way in use, with `use` or not, that is kept from Bob. */
function checkOf(pair: Pair, use: boolean): Uint8Array {
  const { world, alicePath } = pair
  if (alicePath?.ways == null) throw new Error('not open')
  const checking = { ...fresh(() => Uint8Array.of(1, 2, 3, 4, 5, 6, use ? 1 : 0), world.now), use }
  alicePath.ways = { ...alicePath.ways, list: alicePath.ways.list.map((k) => ({ ...k, checking })) }
  world.weather = () => []
  const before = world.captured.length
  pair.alice.touch(alicePath, world.now)
  world.wait(millis(1))
  world.weather = calm
  const said = world.captured.slice(before).find((c) => c.sender === 'alice')
  if (said === undefined) throw new Error('nothing asked')
  return said.bytes
}

/** An inner packet of one end that arrives at the other from an address that is not its own. */
function deliver(pair: Pair, who: 'alice' | 'bob', from: Endpoint, bytes = 100): void {
  const { world } = pair
  world.weather = () => []
  const before = world.captured.length
  if (who === 'alice') pair.aliceSays(bytes)
  else pair.bobSays(bytes)
  world.wait(millis(0))
  world.weather = calm
  const said = world.captured.slice(before).find((c) => c.sender === who && c.bytes.length === bytes + 32)
  if (said === undefined) throw new Error('nothing said')
  world.inject(from, who === 'alice' ? BOB : ALICE, said.bytes, millis(1))
  world.wait(millis(2))
}

/** The path's own way was taken this moment and has answered. */
function tookNow(pair: Pair, path: Path): void {
  if (path.ways === null) throw new Error('not open')
  const { now } = pair.world
  const list = path.ways.list.map((k) => ({ ...k, worked: { since: now, at: now, rtt: millis(40) } }))
  path.ways = { ...path.ways, list, tookAt: now }
}

const bytesOf = (list: readonly { readonly bytes: Uint8Array }[]): number =>
  list.reduce((n, c) => n + c.bytes.length, 0)
