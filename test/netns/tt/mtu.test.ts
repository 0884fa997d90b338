import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { until } from '#lab/process.ts'
import { Product } from '#lab/product.ts'
import { PLACE, type Scene, v4HostToV6Server } from '#lab/scenes/v4-host-to-v6-server.ts'
import { describeLab } from '#test/support/lab.ts'

// lab/scenes/v4-host-to-v6-server.ts, with the link between the home router and the Internet (the underlay) narrowed.
// Attack test 15: inner UDP of 1280 bytes with P = 1280, 1124 and 700, and what goes with it.

/** An IPv4 packet of 1280 bytes; one as large as the host's link; one that the host itself must cut. */
const PAYLOADS = [1252, 1472, 4000]

for (const [mtu, port, when] of [
  [1280, 'raw', 'before the tunnel opens'],
  [1124, 'tun', 'before the tunnel opens'],
  [700, 'tun', 'before the tunnel opens'],
  [700, 'tun', 'while the tunnel is open'],
] as const) {
  describeLab(`an underlay narrowed to ${mtu} bytes ${when}, ${port} port`, () => {
    let scene: Scene
    const narrow = (): void => {
      scene.lab.ip('router', `link set ${PLACE.router.uplink} mtu ${mtu}`)
      scene.lab.ip('inet', `link set router mtu ${mtu}`)
    }
    const curl = (path: string, ...args: string[]): Promise<string> =>
      scene.lab.must('host', 'curl', ['-sS', '--fail', '--max-time', '10', ...args, `http://${PLACE.web6.name}${path}`])

    beforeAll(async () => {
      scene = await v4HostToV6Server()
      if (when !== 'while the tunnel is open') narrow()
      const product = new Product(scene)
      await product.initNetwork()
      await product.coordinator()
      await product.tt({ 'tt.port': port })
      await product.bridge()
      await curl('/')
      if (when !== 'while the tunnel is open') return
      narrow()
      // Both ends find out by themselves that large packets have stopped passing.
      const passes = (): Promise<true | null> =>
        curl('/100m.bin', '-r', '0-99999', '-o', '/dev/null').then(
          () => true,
          () => null,
        )
      await until('a path that has noticed', passes, 90_000)
    })
    afterEach(({ task }) => {
      if (task.result?.state === 'fail')
        process.stderr.write(`the lab's logs: ${scene.lab.keepLogs(`failed-mtu-${mtu}`)}\n`)
    })
    afterAll(() => scene?.dispose())

    test.each(PAYLOADS)('%i bytes of UDP and back', async (bytes) => {
      const args = ['lab/udp.ts', 'ask', PLACE.web6.name, `${PLACE.udpPort}`, 'x'.repeat(bytes)]
      expect((await scene.lab.must('host', process.execPath, args)).trim().length).toBe(bytes)
    })

    test('100 KB down and up', async () => {
      await curl('/100m.bin', '-r', '0-99999', '-o', '/dev/null')
      await curl('/upload/narrow', '-T', scene.lab.file('up.bin', 'y'.repeat(100_000)))
    })
  })
}
