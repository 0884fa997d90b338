import { join } from 'node:path'
import { expect, test } from 'vitest'
import { pause } from '#lab/process.ts'
import type { InLine } from '#lab/scenes/box-in-line.ts'
import { makeStick } from '#lab/vm/fat.ts'
import { describeImage, LanNetwork, lineForTest, SAYS, tell, wireUp } from '#test/support/image.ts'
import { BundleServer, bundleOf } from '#test/support/image-update.ts'
import { SeededMoments } from '#test/support/moments.ts'

// host ── [ box ] ── lan: coordinator, bundles
// Power goes at random moments, and with it what the box had written and not yet flushed (lab/vm/disk.ts, `layer`). After each cut the same disk must boot into
// the old state or the new one. NTM_CUTS (30) is how many, NTM_SEED repeats a run; both are printed.

const CUTS = Number(process.env['NTM_CUTS'] ?? 30)
const LIMIT_MS = 120_000 + CUTS * 300_000

describeImage('power cuts', 'x86_64', () => {
  test(
    'during a first start',
    async () => {
      const scene = await lineForTest({ limitMs: LIMIT_MS })
      const network = await LanNetwork.start(scene)
      const moments = new SeededMoments('first start')
      const files = await network.bridgeFiles(scene)
      // Each from a fresh disk: a first start happens once.
      const image = scene.vm.disk.keep()
      scene.vm.disk.fat('boot').write(files)
      const ready = await durationOf(scene, SAYS.ready('bridge'))
      for (let i = 0; i < CUTS; i++) {
        scene.vm.disk.restore(image)
        // A token is good for one box: each of these is another.
        scene.vm.disk.fat('boot').write(await network.bridgeFiles(scene, { name: `b${i}` }))
        const atMs = moments.next(2000, ready * 1.1)
        await scene.vm.start({}, { lossy: true })
        await pause(atMs)
        await scene.vm.powerCut()
        await consistent(scene, `first start, cut ${i + 1} of ${CUTS} after ${(atMs / 1000).toFixed(1)} s`, 'A')
        await scene.vm.stop()
      }
    },
    LIMIT_MS,
  )

  test(
    'during a change of configuration',
    async () => {
      const scene = await lineForTest({ limitMs: LIMIT_MS })
      const network = await LanNetwork.start(scene)
      const moments = new SeededMoments('change of configuration')
      const { token, ...first } = await network.bridgeFiles(scene, { appliance: { hostname: 'h0' } })
      scene.vm.disk.fat('boot').write({ ...first, token: token ?? '' })
      const ready = await durationOf(scene, SAYS.ready('bridge'))
      let last = 'h0'
      for (let i = 1; i <= CUTS; i++) {
        const { token: _, ...files } = await network.bridgeFiles(scene, {
          appliance: { hostname: `h${i}` },
          name: `n${i}`,
        })
        const stick = join(scene.lab.dir, `change-${i}.img`)
        makeStick(stick, files)
        // The change happens while the box starts, before the program does.
        const atMs = moments.next(ready * 0.3, ready * 1.1)
        await scene.vm.start({ stick }, { lossy: true })
        await pause(atMs)
        await scene.vm.powerCut()
        await consistent(scene, `change ${i} of ${CUTS}, cut after ${(atMs / 1000).toFixed(1)} s`, 'A', { stick: null })
        const name = (await scene.shell.must('hostname')).trim()
        expect([last, `h${i}`], 'neither the old configuration nor the new one').toContain(name)
        expect(await scene.shell.must('cat /data/config/ntm.toml')).toContain(`hostname = "${name}"`)
        last = name
        await scene.shell.must('sync')
        await scene.vm.stop()
      }
    },
    LIMIT_MS,
  )

  test(
    'during an update',
    async () => {
      const scene = await lineForTest({ limitMs: LIMIT_MS, disk: { mib: 2048 } })
      const network = await LanNetwork.start(scene)
      const server = await BundleServer.start(scene)
      const bundle = bundleOf('x86_64', '0.2.0')
      const url = server.url(bundle)
      const moments = new SeededMoments('update')
      scene.vm.disk.fat('boot').write(await network.bridgeFiles(scene))
      const before = await durationOf(scene, SAYS.ready('bridge'))
      const kept = scene.vm.disk.keep()
      await scene.vm.start()
      await scene.vm.until(SAYS.ready('bridge'), { since: 1 })
      const begun = performance.now()
      await scene.shell.must(`ntm update ${url}`, 420_000)
      const took = performance.now() - begun
      await scene.vm.stop()
      tell(`a first start takes ${(before / 1000).toFixed(0)} s, an update ${(took / 1000).toFixed(0)} s`)
      for (let i = 0; i < CUTS; i++) {
        scene.vm.disk.restore(kept)
        const since = scene.vm.mark()
        await scene.vm.start({}, { lossy: true })
        await scene.vm.until(SAYS.good('A'), { since })
        await scene.shell.must('true')
        const atMs = moments.next(500, took * 1.1)
        const running = scene.shell.run(`ntm update ${url}`, 420_000)
        await pause(atMs)
        await scene.vm.powerCut()
        await running
        await consistent(scene, `update, cut ${i + 1} of ${CUTS} after ${(atMs / 1000).toFixed(1)} s`, '[AB]')
        const { slot, version } = await scene.shell.state('slot')
        if (slot === 'B') expect(version).toBe(bundle.version)
        else expect(version).not.toBe(bundle.version)
        await scene.vm.stop()
      }
    },
    LIMIT_MS,
  )
})

/** The box is on again by itself: the wire is up, the slot is good, the data is on the disk and the program runs. */
async function consistent(scene: InLine, what: string, slot: string, changes: { stick?: null } = {}): Promise<void> {
  const since = scene.vm.mark()
  await scene.vm.start(changes)
  await wireUp(scene.vm, since)
  const good = await scene.vm.until(SAYS.good(slot), { since, limitMs: 600_000 })
  await scene.vm.until(SAYS.ready('bridge'), { since, limitMs: 600_000 })
  expect(await scene.shell.state('data'), what).toMatchObject({ medium: 'disk' })
  expect((await scene.shell.state('config'))['state'], what).toMatch(/ok|kept/)
  tell(`${what}: ${good.text.trim()}`)
}

/** Boots until that line, stops, and returns how long it took from power: what the moments are chosen within. */
async function durationOf(scene: InLine, line: RegExp): Promise<number> {
  const since = scene.vm.mark()
  await scene.vm.start()
  const { atMs } = await scene.vm.until(line, { since })
  await scene.shell.must('sync')
  await scene.vm.stop()
  return atMs
}
