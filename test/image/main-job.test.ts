import { expect, onTestFinished, test } from 'vitest'
import { CHECKS, hostState, PAGE } from '#lab/checks.ts'
import { pause } from '#lab/process.ts'
import type { Board } from '#lab/scenes/box-in-line.ts'
import { type Scene, v4HostToV6Server } from '#lab/scenes/v4-host-to-v6-server.ts'
import { pageOf } from '#lab/services.ts'
import { BOX_ROOMS, VmProduct } from '#lab/vm-product.ts'
import { describeImage, SAYS, secondsIn, tell } from '#test/support/image.ts'

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
      const bridge = await product.start('bridge', sticks.bridge, { board })
      await scene.hostDhcp()
      const untouched = await hostState(scene)
      await PAGE.run(scene)
      for (const check of CHECKS.filter(({ title }) => checks.test(title)))
        tell(`${check.title}: ${await check.run(scene)}`)
      expect(await hostState(scene)).toBe(untouched)

      // Once more, now that it is what it is: how long from the kernel's start until the first page.
      await (await product.shell('bridge')).must('sync')
      await bridge.stop()
      const since = bridge.mark()
      await bridge.start({ stick: null })
      const first = await firstPage(scene, () => bridge.console.nowMs)
      const wire = await bridge.until(SAYS.wire, { since })
      const kernelMs = wire.atMs - secondsIn(SAYS.wire, wire) * 1000
      tell(`${board}: bridge forwards frames after ${secondsIn(SAYS.wire, wire)} s`)
      tell(
        `${board}: first page through the tunnel ${((first - kernelMs) / 1000).toFixed(1)} s after the kernel started`,
      )
    }, 1_800_000)
  })
}

/** Asks again and again until the page comes; returns the time it came. */
async function firstPage(scene: Scene, now: () => number): Promise<number> {
  const name = 'v6only.example'
  for (const end = performance.now() + 420_000; performance.now() < end; ) {
    const page = await scene.lab.run('host', 'curl', ['-sS', '--max-time', '3', `http://${name}/`])
    if (page.stdout === pageOf(name)) return now()
    await pause(200)
  }
  throw new Error('no page came')
}
