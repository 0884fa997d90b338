import { afterEach, describe, expect, test } from 'vitest'
import { type Counted, lost } from '#lab/flow.ts'
import { pause, until } from '#lab/process.ts'
import { describeLab } from '#test/support/lab.ts'
import { type Moving, withMoving } from './rig.ts'

// What nobody tells the laptop: NATs that forget, networks that swallow packets, peers that move at the same time, a coordinator that is not there.
// Numbered datagrams run both ways and are counted at both ends; bounds are generous, for the machine may be busy.
describeLab('hand-over in adverse conditions', () => {
  let moving: Moving

  withMoving('failed-adverse', (built) => {
    moving = built
  })

  test('a NAT loses its mappings without a word, three times', async () => {
    await moving.begin(['home'], 'desk', 'direct')
    const flow = await moving.flowTo('desk')
    for (let i = 0; i < 3; i++) {
      await pause(700)
      await moving.scene.net.loseMappings(moving.sites.home)
    }
    await pause(1500)
    const counted = await flow.close()
    expect(share(counted, 0.3)).toEqual({ up: 1, down: 1 })
    expect(lost(counted.down).length).toBeLessThan(0.2 * counted.down.sent.length)
  })

  describe('an outage two hops away, no interface says anything', () => {
    afterEach(() => moving.mend())

    test('of one of two uplinks: the other takes over', async () => {
      const [first, second] = await moving.begin(['g1', 'home'], 'desk', 'direct')
      const flow = await moving.flowTo('desk')
      await pause(300)
      expect(await moving.busiest()).toBe(`${first?.link} ${first?.link}`)
      moving.cut(moving.sites.g1.lan4 ?? '', '0.0.0.0/0')
      await until(
        'the other uplink',
        async () => ((await moving.busiest()) === `${second?.link} ${second?.link}` ? true : null),
        15_000,
      )
      await pause(1500)
      expect(share(await flow.close(), 1)).toEqual({ up: 1, down: 1 })
    })

    test('of the direct way alone: the relay takes over, and afterwards it is direct again', async () => {
      await moving.begin(['g1'], 'desk', 'direct')
      const flow = await moving.flowTo('desk')
      await pause(300)
      moving.cut(moving.sites.g1.lan4 ?? '', moving.scene.net.sites.get('work')?.lan4 ?? '')
      await moving.comes('relay', 'desk')
      await pause(1500)
      expect(share(await flow.close(), 1)).toEqual({ up: 1, down: 1 })
      moving.mend()
      const again = await moving.flowTo('desk')
      await moving.comes('direct', 'desk')
      await again.close()
    })
  })

  test('both ends move at once, each from one NAT to another', async () => {
    await moving.addFriend()
    const [seat] = await moving.begin(['home'], 'friend')
    if (seat === undefined) throw new Error('no uplink')
    const flow = await moving.flowTo('friend')
    await pause(500)
    moving.unplug(seat)
    moving.moveFriend('hotel')
    moving.plug('cafe')
    await pause(6000)
    expect(share(await flow.close(), 1)).toEqual({ up: 1, down: 1 })
  })

  test('the coordinator stands still while the laptop moves: nobody waits for it', async () => {
    const [seat] = await moving.begin(['home'], 'desk', 'direct')
    if (seat === undefined) throw new Error('no uplink')
    const flow = await moving.flowTo('desk')
    await pause(500)
    const coordinator = moving.scene.programs.running.get('coordinator')
    coordinator?.kill('SIGSTOP')
    try {
      moving.unplug(seat)
      moving.plug('six')
      await pause(3000)
      const counted = await flow.close()
      expect(share(counted, 1)).toEqual({ up: 1, down: 1 })
    } finally {
      coordinator?.kill('SIGCONT')
    }
  })

  test('from direct to relay and back, twice', async () => {
    const [seat] = await moving.begin(['g1'], 'plant', 'direct')
    if (seat === undefined) throw new Error('no uplink')
    const flow = await moving.flowTo('plant')
    let here = seat
    for (const [site, way] of [
      ['sym1', 'relay'],
      ['g2', 'direct'],
      ['sym2', 'relay'],
      ['g1', 'direct'],
    ] as const) {
      moving.unplug(here)
      here = moving.plug(site)
      await moving.comes(way, 'plant')
      await pause(500)
    }
    const counted = await flow.close()
    expect(share(counted, 0.4)).toEqual({ up: 1, down: 1 })
  })
})

/** Of what was sent in the last `seconds`: the share that arrived. */
function share({ up, down }: Counted, seconds: number): { up: number; down: number } {
  const of = ({ sent, got }: Counted['up']): number => {
    const from = sent.findIndex((ms) => ms > (sent.at(-1) ?? 0) - seconds * 1000)
    const came = new Set(got.map(([number]) => number))
    const last = sent.slice(from).map((_, i) => from + i)
    return last.filter((number) => came.has(number)).length / last.length
  }
  return { up: of(up), down: of(down) }
}
