import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { expect, test } from 'vitest'
import { makeStick } from '#lab/vm/fat.ts'
import { describeImage, lineForTest, pingThrough, SAYS } from '#test/support/image.ts'
import { bundleOf, type TestBundle } from '#test/support/image-update.ts'

// host ── [ box without a configuration ] ── lan; nobody types anything

describeImage('updates from a stick', 'x86_64', () => {
  test('the newest that is for this box, once; the stick says what became of each', async () => {
    const scene = await lineForTest({ machine: 'bios', disk: { mib: 2048 }, limitMs: 30 * 60_000 })
    const [good, strange] = [
      bundleOf('x86_64', '0.2.0'),
      bundleOf('x86_64', '0.2.0', { name: 'strangers', stranger: true }),
    ]
    const stick = join(scene.lab.dir, 'update.img')
    const files = Object.fromEntries([good, strange].map(({ file }) => [basename(file), readFileSync(file)]))
    const fat = makeStick(stick, files, { mib: 512 })
    await scene.vm.start({ stick })
    await scene.vm.until(SAYS.good('A'))
    await scene.vm.until(says(strange, 'not installed: its signature'), { limitMs: 900_000 })
    await scene.vm.until(/ntm-slot: B is on trial/, { limitMs: 900_000 })
    const since = scene.vm.mark()
    await scene.vm.until(SAYS.good('B'), { since, limitMs: 600_000 })
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
    // It lies there still.
    await scene.vm.until(says(good, `version ${good.version} runs already`), {
      since,
      unless: /ntm-slot: \w is on trial/,
    })
    await scene.vm.stop()
    const report = fat.text('ntm-update.txt') ?? ''
    expect(report).toContain(`, version ${good.version}.\r\n`)
    expect(report).toContain(`${basename(good.file)}: version ${good.version} runs already.\r\n`)
    expect(report).toMatch(/strangers\S*: not installed: its signature/)
  }, 1_800_000)
})

/** What the box says of a bundle on the stick. */
const says = ({ file }: TestBundle, what: string): RegExp =>
  new RegExp(`ntm-update: ${basename(file)}: ${what}`.replaceAll(/[.+]/g, '\\$&'))
