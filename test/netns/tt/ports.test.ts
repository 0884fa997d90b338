import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CHECKS, PAGE } from '#lab/checks.ts'
import { bigFile } from '#lab/content.ts'
import type { Program } from '#lab/process.ts'
import { Product } from '#lab/product.ts'
import { PLACE, type Scene, v4HostToV6Server } from '#lab/scenes/v4-host-to-v6-server.ts'
import { describeLab } from '#test/support/lab.ts'

// The scene as drawn in lab/scenes/v4-host-to-v6-server.ts, once with each of the terminator's two ports: the same list.

const SAME_FOR_BOTH = /^(who the server|UDP|ping|traceroute)/
/** Enough for every path and buffer; the 100 MB are the main scene's. */
const BYTES = 20_000_000

for (const port of ['tun', 'raw'] as const) {
  describeLab(`the terminator with its ${port} port`, () => {
    let scene: Scene
    let tt: Program
    beforeAll(async () => {
      scene = await v4HostToV6Server()
      const product = new Product(scene)
      await product.initNetwork()
      await product.coordinator()
      tt = await product.tt({ 'tt.port': port })
      await product.bridge()
    })
    afterAll(() => scene?.dispose())

    test('the port is the one that was asked for', async () => {
      const links = await scene.lab.must('tt', 'ip', ['-o', 'link'])
      expect([links.includes(' ntm0:'), links.includes(' ntmp0@')]).toEqual(
        port === 'tun' ? [true, false] : [false, true],
      )
    })

    test('the raw one has no thread of its own for packets: one that was loaded ahead is gone', () => {
      const threads = readdirSync(`/proc/${tt.pid}/task`).map((id) =>
        readFileSync(`/proc/${tt.pid}/task/${id}/comm`, 'utf8').trim(),
      )
      expect(threads.includes('ntm-packets-0')).toBe(port === 'tun')
    })

    for (const check of [PAGE, ...CHECKS.filter((c) => SAME_FOR_BOTH.test(c.title))]) {
      test(check.title, async () => {
        expect(await check.run(scene)).not.toBe('')
      })
    }

    test('20 MB down and up arrive unchanged', async () => {
      const part = readFileSync(bigFile()).subarray(0, BYTES)
      const curl = (...args: string[]): Promise<string> =>
        scene.lab.must('host', 'curl', ['-sS', '--fail', '--max-time', '60', ...args])
      const down = join(scene.lab.dir, 'down')
      await curl('-r', `0-${BYTES - 1}`, '-o', down, `http://${PLACE.web6.name}/100m.bin`)
      expect(readFileSync(down).equals(part)).toBe(true)
      await curl('-T', down, `http://${PLACE.web6.name}/upload/${port}`)
      expect(readFileSync(join(scene.uploads, port)).equals(part)).toBe(true)
    })

    test('the terminator is one hop, whoever spends it', async () => {
      const ear = scene.lab.spawn('web6', 'ear', 'tcpdump', [
        '-n',
        '-l',
        '-v',
        '-i',
        PLACE.web6.link,
        'icmp6 and ip6[40] == 128',
      ])
      await ear.line(/listening on/)
      await scene.lab.must('host', 'ping', ['-c', '1', '-W', '2', '-t', '64', PLACE.web6.name])
      // The terminator, and the Internet's router.
      await ear.line(/hlim 62,/)
    })

    test('a datagram larger than one packet reaches the server and comes back', async () => {
      const text = 'x'.repeat(4000)
      const args = ['lab/udp.ts', 'ask', PLACE.web6.name, `${PLACE.udpPort}`, text]
      expect((await scene.lab.must('host', process.execPath, args)).trim()).toBe(text)
    })
  })
}
