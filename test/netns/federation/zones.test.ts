import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import { until } from '#lab/process.ts'
import { describeLab } from '#test/support/lab.ts'
import { TwoZones } from './place.ts'

/** Said one by one, each after the answer to the one before: some seconds. */
const LINES = '12000'

// Two coordinators of one network, each with a zone of its own: alice is a.example's, bob is b.example's.
describeLab('two zones of one network', () => {
  describe.each(['config', 'dns', 'names'] as const)('their coordinators found by %s', (found) => {
    let place: TwoZones
    let failed = false
    beforeAll(async () => {
      place = await TwoZones.up(found)
    })
    afterEach(({ task }) => {
      failed ||= task.result?.state === 'fail'
    })
    afterAll(() => place?.dispose(failed ? `failed-federation-${found}` : null))

    const ping = async (room: string, name: string): Promise<string> => {
      const done = await place.lab.run(room, 'ping', ['-4', '-c3', '-i0.2', '-W3', name])
      return done.stdout + done.stderr
    }

    test('each pings the other by name', async () => {
      if (found !== 'names')
        await until('the links', async () => {
          const [a, b] = await Promise.all([place.a.status('dca', 'coordinator'), place.b.status('dcb', 'coordinator')])
          const up = (s: typeof a, zone: string) =>
            JSON.stringify(s['federation']).includes(`"zone":"${zone}","up":true`)
          return up(a, 'b.example') && up(b, 'a.example') ? true : null
        })
      expect(await ping('alice', 'bob.b.example')).toContain('3 received')
      expect(await ping('bob', 'alice.a.example')).toContain('3 received')
    })

    test('a conversation over TCP goes on while one of them moves to another uplink', async () => {
      const program = join(ROOT, 'test/netns/programs/talk.ts')
      const serve = [program, 'serve', '7022', '8080', 'bob']
      await place.lab.spawn('bob', 'bob-talk', process.execPath, serve).line(/ready/)
      const heardAt = async (): Promise<string> => {
        const { paths } = (await place.b.status('bob', 'bob')) as { paths: { peer: string; at: string | null }[] }
        return paths.find((p) => p.peer === 'alice.a.example')?.at?.split(':')[0] ?? 'nowhere'
      }
      const before = await heardAt()
      const talk = place.lab.must('alice', process.execPath, [program, 'talk', 'bob.b.example', '7022', '4', LINES])
      let ended = false
      void talk.then(() => {
        ended = true
      })
      await place.a.ntm('alice', ['uplink', '--socket', place.a.socket('alice'), '--prefer', 'eth1'])
      // Long enough that the move fell into it.
      expect(ended).toBe(false)
      expect(JSON.parse(await talk)).toMatchObject({ lines: Number(LINES), same: true })
      const after = await heardAt()
      expect([before, after]).not.toContain('nowhere')
      expect(after).not.toBe(before)
    })

    test('the other coordinator is down: the tunnel goes on, a new name fails in time', async () => {
      await place.b.running.get('dcb')?.stop()
      const begun = Date.now()
      const asked = await place.lab.run('alice', 'dig', ['+tries=1', '+time=5', 'other.b.example', 'A'])
      expect(asked.stdout).toContain('status: SERVFAIL')
      expect(Date.now() - begun).toBeLessThan(4000)
      expect(await ping('alice', 'bob.b.example')).toContain('3 received')
    })
  })
})
