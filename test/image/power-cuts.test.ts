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
// the old state or the new one, and from there the next cut is tried: one box lives through all of them. NTM_CUTS (30) is how many, NTM_SEED
// repeats a run; both are printed.

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
      for (let i = 1; i <= CUTS; i++) {
        scene.vm.disk.restore(image)
        // A token is good for one box: each of these is another.
        scene.vm.disk.fat('boot').write(await network.bridgeFiles(scene, { name: `b${i}` }))
        const atMs = moments.next(2000, ready * 1.1)
        await scene.vm.start({}, { lossy: true })
        await cutAfter(scene, atMs)
        await consistent(scene, `first start, cut ${i} of ${CUTS} after ${seconds(atMs)}`, 'A')
        await scene.vm.stop()
      }
    },
    LIMIT_MS,
  )

  test(
    'during a change of configuration',
    async () => {
      const scene = await lineForTest({ limitMs: LIMIT_MS })
      const { vm, shell } = scene
      const network = await LanNetwork.start(scene)
      const moments = new SeededMoments('change of configuration')
      const stickWith = async (hostname: string): Promise<string> => {
        const { token: _, ...files } = await network.bridgeFiles(scene, { appliance: { hostname }, name: hostname })
        const stick = join(scene.lab.dir, `${hostname}.img`)
        makeStick(stick, files)
        return stick
      }
      vm.disk.fat('boot').write(await network.bridgeFiles(scene, { appliance: { hostname: 'h0' } }))
      const ready = await durationOf(scene, SAYS.ready('bridge'))
      await consistent(scene, 'before the cuts', 'A')
      // How long a change takes in a box that works.
      let since = vm.mark()
      const plugged = performance.now()
      await vm.plugStick(await stickWith('h1'))
      await vm.until(/ntm-import: configuration ok/, { since })
      await vm.until(SAYS.ready('bridge'), { since })
      const took = performance.now() - plugged
      tell(`ready after ${seconds(ready)} at a start, ${seconds(took)} after a stick was plugged in`)
      await shell.must('sync')
      await vm.stop()
      await consistent(scene, 'changed once', 'A', { stick: null })
      let last = 'h1'
      for (let i = 1; i <= CUTS; i++) {
        const next = `h${i + 1}`
        const stick = await stickWith(next)
        // Mostly while the box works; every third is read while it starts.
        const atStart = i % 3 === 0
        const atMs = atStart ? moments.next(ready * 0.3, ready * 1.1) : moments.next(0, took * 1.1)
        since = vm.mark()
        if (atStart) {
          await vm.stop()
          await vm.start({ stick }, { lossy: true })
        } else await vm.plugStick(stick)
        await cutAfter(scene, atMs)
        const when = `${seconds(atMs)} after ${atStart ? 'power came' : 'the stick was plugged in'}`
        await consistent(scene, `change ${i} of ${CUTS}, cut ${when}`, 'A', { stick: null })
        const name = (await shell.must('hostname')).trim()
        expect([last, next], 'neither the old configuration nor the new one').toContain(name)
        expect(await shell.must('cat /data/config/ntm.toml')).toContain(`hostname = "${name}"`)
        tell(`  ${name === next ? 'the new' : 'the old'} configuration`)
        last = name
      }
    },
    LIMIT_MS,
  )

  test(
    'during an update',
    async () => {
      const scene = await lineForTest({ limitMs: LIMIT_MS, disk: { mib: 2048 } })
      const { shell } = scene
      const network = await LanNetwork.start(scene)
      const server = await BundleServer.start(scene)
      const moments = new SeededMoments('update')
      scene.vm.disk.fat('boot').write(await network.bridgeFiles(scene))
      let release = 1
      const nextUpdate = (): { url: string; version: string } => {
        const bundle = bundleOf('x86_64', `0.${++release}.0`)
        return { url: server.url(bundle), version: bundle.version }
      }
      await consistent(scene, 'before the cuts', 'A')
      let wanted = nextUpdate()
      const begun = performance.now()
      await shell.must(`ntm update ${wanted.url}`, 420_000)
      const took = performance.now() - begun
      await scene.vm.powerCut()
      await consistent(scene, `after an update of ${seconds(took)}`, 'B')
      let { version: last = '', slot: lastSlot } = await shell.state('slot')
      expect(last).toBe(wanted.version)
      wanted = nextUpdate()
      for (let i = 1; i <= CUTS; i++) {
        // Every third about the end, where the new slot takes the old one's place: the rest of the time is copying.
        const atMs = i % 3 === 0 ? moments.next(took * 0.85, took * 1.3) : moments.next(500, took * 1.1)
        const running = shell.run(`ntm update ${wanted.url}`, 420_000)
        await cutAfter(scene, atMs)
        await consistent(scene, `update, cut ${i} of ${CUTS} after ${seconds(atMs)}`, '[AB]')
        await running
        const { slot, version } = await shell.state('slot')
        expect([last, wanted.version], 'neither the old version nor the new one').toContain(version)
        expect(slot === lastSlot, 'the old version is where it was').toBe(version === last)
        tell(`  ${version === last ? 'the old' : 'the new'} version`)
        if (version === wanted.version) {
          last = version
          lastSlot = slot
          wanted = nextUpdate()
        }
      }
    },
    LIMIT_MS,
  )
})

async function cutAfter({ vm }: InLine, ms: number): Promise<void> {
  await pause(ms)
  await vm.powerCut()
}

/** The box is on again by itself: the wire is up, the slot is good, the data is on the disk and the program runs. It stays on. */
async function consistent(scene: InLine, what: string, slot: string, changes: { stick?: null } = {}): Promise<void> {
  const { vm, shell } = scene
  const since = vm.mark()
  await vm.start(changes, { lossy: true })
  await wireUp(vm, since)
  const good = await vm.until(SAYS.good(slot), { since, limitMs: 600_000 })
  await vm.until(SAYS.ready('bridge'), { since, limitMs: 600_000 })
  expect(await shell.state('data'), what).toMatchObject({ medium: 'disk' })
  expect((await shell.state('config'))['state'], what).toMatch(/ok|kept/)
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

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`
