import { expect, test } from 'vitest'
import { millis, seconds } from '#ntm-lib/base/time.ts'
import { endpointOf } from '#test/support/route.ts'
import { Fleet } from './fleet.ts'
import { at, global4, global6 } from './places.ts'

const hellos = (fleet: Fleet): number =>
  fleet.net.captured.filter((p) => p.sender === 'mover' && p.bytes[0] === 0x11).length

/** A registered box with an address of each kind named, and everything quiet. */
function scene(kind: 'v4' | 'v6' | 'both') {
  const fleet = new Fleet({ seed: 3 })
  const { net } = fleet
  const places = {
    v4: at(net.core, global4(20)),
    v6: at(net.core, global6(20)),
    both: at(net.core, global4(20), global6(20)),
  }
  const mover = fleet.box('mover', places[kind])
  expect(fleet.up()).toBe(true)
  net.wait(seconds(3))
  return { fleet, net, mover, places }
}

test.each([
  ['v4', 'v6'],
  ['v6', 'v4'],
  ['both', 'v6'],
  ['both', 'v4'],
] as const)(
  'the control session goes on from %s to %s: no Hello, and the new place is known within two round trips',
  (from, to) => {
    const { fleet, net, mover, places } = scene(from)
    const before = hellos(fleet)
    const updates = mover.told('registered').length
    const moved = net.now
    net.replug('mover', { eth0: places[to] })
    expect(
      net.until(() => mover.told('registered').length > updates, seconds(2)),
      net.mermaid(),
    ).toBe(true)
    expect(net.now - moved).toBeLessThanOrEqual(100)
    expect(mover.registration?.observed.ip).toEqual(places[to].ips[0])
    net.wait(seconds(60))
    expect(hellos(fleet)).toBe(before)
    expect(mover.told('offline')).toEqual([])
  },
)

test('one family dies without a word: the next keep-alive goes out in the other', () => {
  const { fleet, net, mover } = scene('both')
  const before = hellos(fleet)
  const to = mover.registration?.observed
  net.fault((p) => typeof p.from.ip === typeof to?.ip)
  net.wait(seconds(90))
  expect(mover.told('offline'), net.mermaid()).toEqual([])
  expect(hellos(fleet)).toBe(before)
  expect(typeof mover.registration?.observed.ip).not.toBe(typeof to?.ip)
})

test('answers that somebody passes on from elsewhere lead no session away', () => {
  const { net, mover } = scene('v4')
  const eve = endpointOf('203.0.113.66:6666')
  // Every sealed answer is held back and comes from her instead.
  net.fault((p) => {
    if (p.sender !== 'dc' || p.bytes[0] !== 0x12) return false
    net.in(millis(0), () => net.inject(eve, p.to, p.bytes))
    return true
  })
  const updates = mover.told('registered').length
  net.replug('mover', { eth0: at(net.core, global4(21)) })
  net.wait(seconds(2))
  expect(mover.told('registered').length).toBeGreaterThan(updates)
  expect(net.captured.filter((p) => p.sender === 'mover' && p.to.ip === eve.ip)).toEqual([])
})
