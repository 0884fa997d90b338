import { describe, expect, test } from 'vitest'
import { doubled, lost } from '#lab/flow.ts'
import { pause, until } from '#lab/process.ts'
import { describeLab } from '#test/support/lab.ts'
import { type Moving, withMoving } from './rig.ts'

// A laptop moves while numbered datagrams run both ways, counted at both ends, or while it downloads 100 MB. Nothing here is timed: how long
// a move takes is measured by `npm run bench:moves`.
describeLab('hand-over on real kernels', () => {
  let moving: Moving

  withMoving('failed-handover', (built) => {
    moving = built
  })

  describe('two uplinks, planned switches there and back: no packet is lost', () => {
    test.each([
      ['g1', 'g2', 'desk', 'direct'],
      ['home', 'cafe', 'desk', 'direct'],
      ['home', 'six', 'desk', 'direct'],
      ['sym1', 'sym2', 'plant', 'relay'],
      ['sym1', 'six', 'plant', 'relay'],
    ] as const)('%s and %s, to the %s, %s', async (first, second, peer, way) => {
      const [a, b] = await moving.begin([first, second], peer, way)
      if (a === undefined || b === undefined) throw new Error('no uplinks')
      const flow = await moving.flowTo(peer)
      const ways: string[] = []
      const steps = [
        () => {},
        () => moving.prefer(b.link),
        () => moving.prefer('auto'),
        () => moving.metric(b, 200, 50),
        () => moving.metric(b, 50, 200),
        () => moving.metric(b, 200, 50),
      ]
      // It does move each time: a switch that does not happen loses nothing either. How soon is not asked here: a busy machine takes its time.
      const [at, to] = [`${a.link} ${a.link}`, `${b.link} ${b.link}`]
      for (const [i, step] of steps.entries()) {
        await step()
        const there = i % 2 === 0 ? at : to
        ways.push(await until(`step ${i}: ${there}`, async () => ((await moving.busiest()) === there ? there : null)))
      }
      // In the end the old one goes for good, and nobody minds.
      moving.unplug(a)
      await pause(700)
      const { up, down } = await flow.close()
      const story = ways.join(', ')
      expect(up.sent.length, story).toBeGreaterThan(500)
      expect(down.sent.length, story).toBeGreaterThan(500)
      expect([lost(up), lost(down)], story).toEqual([[], []])
      expect([doubled(up), doubled(down)], story).toEqual([0, 0])
      expect(await moving.scene.way('laptop', peer)).toBe(way)
    })
  })

  test('a download alone, 20 ms away: the peer hears nothing but what the move itself says', async () => {
    for (let i = 0; i < 3; i++) {
      const [a, b] = await moving.begin(['far4', 'far6'], 'desk', 'direct')
      if (a === undefined || b === undefined) throw new Error('no uplinks')
      await pause(1000)
      const flow = await moving.flowTo('desk', { onlyDown: true })
      await pause(500)
      await moving.prefer(b.link)
      // A planned switch is one while the old way is there.
      const there = ` ${b.link}`
      await until(`packets by${there}`, async () => ((await moving.busiest()).endsWith(there) ? true : null))
      moving.unplug(a)
      await pause(600)
      const { down } = await flow.close()
      await moving.prefer('auto')
      expect(down.sent.length).toBeGreaterThan(150)
      expect(lost(down)).toEqual([])
    }
  })

  describe('one uplink is pulled out and another plugged in: 100 MB arrive intact over one connection', () => {
    test.each([
      ['g1', 'home'],
      ['home', 'cafe'],
      ['home', 'six'],
      ['six', 'home'],
    ] as const)('from %s to %s', async (from, to) => {
      const [seat] = await moving.begin([from], 'desk')
      if (seat === undefined) throw new Error('no uplink')
      const done = moving.download(`desk.${moving.scene.zone}`)
      await pause(1500)
      moving.unplug(seat)
      await pause(300)
      moving.plug(to)
      await moving.intact(done)
    })

    test('from an ordinary server through the terminator: home, six and home again', async () => {
      const [seat] = await moving.begin(['home'], 'web.example')
      if (seat === undefined) throw new Error('no uplink')
      const done = moving.download('web.example')
      await pause(1200)
      moving.unplug(seat)
      const next = moving.plug('six')
      await pause(1200)
      moving.unplug(next)
      moving.plug('home')
      await moving.intact(done)
    })
  })
})
