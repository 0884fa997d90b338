import { expect, onTestFinished, test } from 'vitest'
import { CHECKS, hostState, PAGE, pagePatiently } from '#lab/checks.ts'
import type { Board } from '#lab/scenes/box-in-line.ts'
import { v4HostToV6Server } from '#lab/scenes/v4-host-to-v6-server.ts'
import { BOX_ROOMS, VmProduct } from '#lab/vm-product.ts'
import { describeImage, tell } from '#test/support/image.ts'

// The network as drawn in lab/scenes/v4-host-to-v6-server.ts; in the rooms coordinator, tt and bridge stand machines of one image, each told by a stick
// what it is. The host has no IPv6 and the server has no IPv4, so a page proves that all three do their work.

const ways: readonly (readonly [Board, RegExp])[] = [
  ['x86_64', /who the server sees|TLS|UDP|ping|A and AAAA|does not exist/],
  ['rpi-arm64', /who the server sees|ping/],
]
for (const [board, checks] of ways) {
  describeImage(`the main job, the bridge being ${board}`, board, () => {
    test('an untouched IPv4 host gets a page from an IPv6-only server', async () => {
      const scene = await v4HostToV6Server({ machines: BOX_ROOMS })
      onTestFinished(({ task }) => {
        if (task.result?.state === 'fail') tell(`the lab's logs: ${scene.lab.keepLogs('failed-image-test')}`)
        scene.dispose()
      })
      const product = new VmProduct(scene)
      const sticks = await product.prepare()
      await product.start('coordinator', sticks.coordinator)
      await product.start('tt', sticks.tt)
      await product.start('bridge', sticks.bridge, { board })
      await scene.hostDhcp()
      const untouched = await hostState(scene)
      tell(`${PAGE.title}: ${await pagePatiently(scene)}`)
      for (const check of CHECKS.filter(({ title }) => checks.test(title)))
        tell(`${check.title}: ${await check.run(scene)}`)
      expect(await hostState(scene)).toBe(untouched)
    }, 1_800_000)
  })
}
