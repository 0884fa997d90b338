import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import { type Program, pause, until } from '#lab/process.ts'
import { Product } from '#lab/product.ts'
import { type Scene, v4HostToV6Server } from '#lab/scenes/v4-host-to-v6-server.ts'
import { describeLab } from '#test/support/lab.ts'
import { machineOf } from './machine.ts'

// Only the coordinator and the terminator of lab/scenes/v4-host-to-v6-server.ts: what is left of a terminator when it ends.

describeLab('a terminator leaves its machine as it was', () => {
  let scene: Scene
  let product: Product
  let before: string[]
  beforeAll(async () => {
    scene = await v4HostToV6Server({ withoutHostDhcp: true })
    product = new Product(scene)
    await product.initNetwork()
    await product.coordinator()
    before = await machineOf(scene.lab, 'tt')
  })
  afterAll(() => scene?.dispose())
  const now = (): Promise<string[]> => machineOf(scene.lab, 'tt')
  /** Starts it with the configuration of the last `product.tt()`, and waits for nothing. */
  let starts = 0
  const start = (): Program =>
    scene.lab.spawn('tt', `tt-again-${starts++}`, process.execPath, [
      join(ROOT, 'src/cli/ntm.ts'),
      ...['tt', '--config', join(scene.lab.dir, 'tt/ntm.toml')],
    ])

  for (const port of ['tun', 'raw'] as const) {
    const inside = port === 'tun' ? 'ntm0' : 'ntmp0'

    test(`${port}: its rules and routes are there while it runs, and nothing after SIGTERM`, async () => {
      const tt = await product.tt({ 'tt.port': port })
      // The program's log goes on where the last one's ended, so its "ready" may be the last one's.
      const running = await until('its rules', async () => {
        const text = (await now()).join('\n')
        return text.includes('table inet ntm_tt') && text.includes('masquerade') ? text : null
      })
      expect(running).toMatch(new RegExp(`198\\.18\\.0\\.0/16 dev ${inside} .*mtu lock 1440`))
      expect(running).toMatch(/blackhole 198\.18\.0\.0\/16/)
      expect(running).toMatch(/blackhole fd[0-9a-f:]+\/48 /)
      expect(running).toContain('ipv6/conf/all/forwarding:1')
      await tt.stop()
      expect(await now()).toEqual(before)
    })

    test(`${port}: SIGKILL leaves the blackhole; the next start takes over and its end restores what was before the first`, async () => {
      const killed = start()
      await killed.line(/role\.ready/, 20_000)
      killed.kill('SIGKILL')
      await killed.exited
      const left = (await now()).join('\n')
      // Replies of flows that were open fall into it instead of leaving by the uplink.
      expect(left).toMatch(/blackhole 198\.18\.0\.0\/16/)
      const next = start()
      await next.line(/role\.ready/, 20_000)
      const rules = (await now()).filter((line) => /masquerade|blackhole/.test(line))
      expect(new Set(rules).size).toBe(rules.length)
      await next.stop()
      expect(await now()).toEqual(before)
    })
  }

  test('SIGTERM at any moment of the start leaves nothing, and the program ends', async () => {
    for (const ms of [100, 250, 350, 450, 550, 650, 800]) {
      const tt = start()
      await pause(ms)
      await tt.stop(8000)
      expect(await tt.exited, `after ${ms} ms:\n${tt.text()}`).not.toBe('SIGKILL')
      expect(await now(), `after ${ms} ms`).toEqual(before)
    }
  })

  test('SIGTERM while it waits for a coordinator that is away', async () => {
    await product.programs.coordinator?.stop()
    const tt = start()
    await until('its UDP port', async () => (isListening(tt.pid) ? true : null), 20_000)
    await pause(500)
    const begun = performance.now()
    await tt.stop(8000)
    expect(await tt.exited, tt.text()).toBe(0)
    expect(performance.now() - begun).toBeLessThan(4000)
    expect(await now()).toEqual(before)
  })
})

/** Whether UDP port 4330 (hexadecimal 10EA) is open where a process runs; proc_net_udp(5). */
const isListening = (pid: number): boolean => /:10EA /.test(readFileSync(`/proc/${pid}/net/udp6`, 'utf8'))
