import { afterAll, beforeAll, expect, test } from 'vitest'
import { DeviceDownload, fetchPage, laptopAndDevice, startAll } from '#lab/device-download.ts'
import type { TwoBridges } from '#lab/scenes/two-bridges.ts'
import { describeLab } from '#test/support/lab.ts'

// What `make demo` tells in its second scene, as a test: the laptop's one uplink is pulled out in the middle of a download.

describeLab(
  'a laptop moves from an IPv4 NAT to an IPv6-only network while it downloads from a device behind a bridge',
  () => {
    let scene: TwoBridges
    beforeAll(async () => {
      scene = await laptopAndDevice()
      await startAll(scene)
    }, 60_000)
    afterAll(() => scene?.dispose())

    test('the page, by name', async () => {
      expect(await fetchPage(scene)).toContain('plc-7')
    })

    test('the download goes on over its connection, whole, and few packets are lost', async () => {
      const download = await DeviceDownload.begin(scene)
      await download.move()
      const cost = await download.end()
      expect(cost.sent).toBeGreaterThan(500)
      expect(cost.lost).toBeGreaterThan(0)
      expect(cost.lost).toBeLessThan(0.1 * cost.sent)
      // Nothing waits for a timer of a second or more.
      expect(cost.afterUsableMs).toBeLessThan(1000)
    }, 120_000)
  },
)
