import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeLab } from '#test/support/lab.ts'
import { endWires, exchange, FAR, judge, openScene, pourUdp, type Scene } from './scene.ts'

const BYTES = 12_000_000

for (const kind of ['tun', 'tap', 'packet', 'vlan'] as const) {
  describeLab(`super-packets through ${kind} ports`, () => {
    let scene: Scene | null = null
    beforeAll(async () => {
      scene = await openScene(kind)
    })
    afterAll(() => scene?.lab.dispose())

    test('TCP: every byte arrives, and every frame on the far wire is right, in both families', async () => {
      if (scene === null) throw new Error('no scene')
      for (const family of ['IPv4', 'IPv6'] as const) {
        const verdict = await judge(scene)
        await exchange(scene, FAR[family], BYTES)
        const seen = await verdict()
        expect(seen.faults, `${family}: ${seen.example}`).toEqual({})
        expect(seen.lost).toBe(0)
        const tcp = family === 'IPv4' ? seen.tcp4 : seen.tcp6
        expect(tcp).toBeGreaterThan(BYTES / 1500)
        if (kind === 'vlan') expect(seen.tagged).toBeGreaterThanOrEqual(tcp)
        else expect(seen.tagged).toBe(0)
      }
    })

    test('UDP: runs travel whole, are cut on the far wire and arrive right', async () => {
      if (scene === null) throw new Error('no scene')
      for (const family of ['IPv4', 'IPv6'] as const) {
        for (const [count, bytes] of [
          [2000, 1200],
          [1000, 100],
        ] as const) {
          const verdict = await judge(scene)
          const heard = await pourUdp(scene, FAR[family], count, bytes)
          const seen = await verdict()
          expect(seen.faults, `${family}: ${seen.example}`).toEqual({})
          expect(heard).toMatchObject({ got: count, wrong: 0, sent: { out: count, gsoRefused: 0 } })
          expect(heard.sent['superOut']).toBe(Math.ceil(count / 40))
          expect(family === 'IPv4' ? seen.udp4 : seen.udp6).toBe(count)
        }
      }
    })

    test('the wires carried most of it in super-packets and lost nothing', async () => {
      if (scene === null) throw new Error('no scene')
      for (const [i, told] of (await endWires(scene)).entries()) {
        expect(told.carried.longest).toBeGreaterThan(30_000)
        expect(told.carried.tcp).toBeGreaterThan(100)
        // Seventy-five runs in each family. Behind the judged wire there are none left.
        if (i === 0) expect(told.carried.udp).toBeGreaterThanOrEqual(150)
        for (const counters of told.counters)
          expect(counters).toMatchObject({ badIn: 0, oversizedIn: 0, gsoRefused: 0, lostIn: 0 })
        expect(told.gone).toEqual([])
      }
    })
  })
}
