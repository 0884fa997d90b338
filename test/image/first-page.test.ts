import { readFileSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { pause } from '#lab/process.ts'
import { Product } from '#lab/product.ts'
import type { Board } from '#lab/scenes/box-in-line.ts'
import { type Scene, v4HostToV6Server } from '#lab/scenes/v4-host-to-v6-server.ts'
import { pageOf } from '#lab/services.ts'
import { boxFiles } from '#lab/vm/box-files.ts'
import type { Vm } from '#lab/vm.ts'
import { VmProduct } from '#lab/vm-product.ts'
import { describeImage, SAYS, secondsIn, tell } from '#test/support/image.ts'

// The network as drawn in lab/scenes/v4-host-to-v6-server.ts: the bridge is a machine with the image, everybody else a program. How long after the start of its
// kernel the wire forwards (goal: 10 s) and the host's first page comes through a tunnel (goal: 30 s), on a machine with nothing else to do.

const boards: readonly Board[] = ['x86_64', 'rpi-arm64']
for (const board of boards) {
  describeImage(`the time to the first page, ${board}`, board, () => {
    test('with its stick for the first time, then as it is', async () => {
      const scene = await v4HostToV6Server({ machines: ['bridge'], withoutHostDhcp: true })
      onTestFinished(({ task }) => {
        if (task.result?.state === 'fail') tell(`the lab's logs: ${scene.lab.keepLogs('failed-image-test')}`)
        scene.dispose()
      })
      const product = new Product(scene)
      await product.initNetwork()
      await product.coordinator()
      await product.tt()
      const token = readFileSync(await product.token('bridge1', 'bridge'), 'utf8')
      const files = boxFiles({ role: 'bridge', appliance: { hostname: 'bridge1' }, token })
      const bridge = await new VmProduct(scene).start('bridge', files, { board })
      await scene.hostDhcp()
      await firstPage(scene, bridge, `${board}, first start`)
      // What it wrote is to be on its disk before the power goes.
      await bridge.until(SAYS.good('A'))
      await bridge.stop()
      const since = bridge.mark()
      await bridge.start({ stick: null })
      await firstPage(scene, bridge, `${board}, as ever`, since)
      expect(bridge.console.find(SAYS.panic)).toBeNull()
    }, 1_200_000)
  })
}

/** Asks again and again until the page comes, and tells when that was. */
async function firstPage(scene: Scene, bridge: Vm, what: string, since = 0): Promise<void> {
  const name = 'v6only.example'
  const args = ['-sS', '--max-time', '2', `http://${name}/`]
  const end = performance.now() + 420_000
  while ((await scene.lab.run('host', 'curl', args)).stdout !== pageOf(name)) {
    if (performance.now() > end) throw new Error('no page came')
    await pause(100)
  }
  const pageMs = bridge.console.nowMs
  const wire = await bridge.until(SAYS.wire, { since })
  const wireSeconds = secondsIn(SAYS.wire, wire)
  const kernelMs = wire.atMs - wireSeconds * 1000
  const ready = secondsIn(SAYS.ready('bridge'), await bridge.until(SAYS.ready('bridge'), { since }))
  const page = ((pageMs - kernelMs) / 1000).toFixed(1)
  tell(
    `${what}: frames pass ${wireSeconds} s after the kernel started, the role is ready after ${ready} s, the first page comes after ${page} s`,
  )
}
