import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeLab } from '#test/support/lab.ts'
import { endWires, exchange, FAR, judge, openScene, type Scene } from './scene.ts'

const BYTES = 12_000_000

for (const kind of ['tun', 'tap', 'packet', 'vlan'] as const) {
  describeLab(`super-packets of TCP through ${kind} ports`, () => {
    let scene: Scene | null = null
    beforeAll(async () => {
      scene = await openScene(kind)
    })
    afterAll(() => scene?.lab.dispose())

    test('every byte arrives, and every frame on the far wire is right, in both families', async () => {
      if (scene === null) throw new Error('no scene')
      for (const family of ['IPv4', 'IPv6'] as const) {
        const verdict = await judge(scene)
        await exchange(scene, FAR[family], BYTES)
        const seen = await verdict()
        expect(seen.faults, `${family}: ${seen.example}`).toEqual({})
        expect(seen.lost).toBe(0)
        const tcp = family === 'IPv4' ? seen.tcp4 : seen.tcp6
        expect(tcp).toBeGreaterThan(BYTES / 1500)
        expect(seen.tagged).toBe(kind === 'vlan' ? seen.frames : 0)
      }
      for (const told of await endWires(scene)) {
        expect(told.carried.longest).toBeGreaterThan(30_000)
        // The port nearer to the judged wire gets plain segments back from nobody: at least one side gave super-packets.
        expect(told.carried.super).toBeGreaterThan(100)
        for (const counters of told.counters)
          expect(counters).toMatchObject({ badIn: 0, oversizedIn: 0, gsoRefused: 0, lostIn: 0 })
        expect(told.gone).toEqual([])
      }
    })
  })
}
