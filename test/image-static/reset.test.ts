import { expect, test } from 'vitest'
import { ImportBox } from '#test/support/import-box.ts'

// /usr/lib/ntm/import and a factory reset: the wish for one on a medium, and the configuration that is there still afterwards.

const CONFIG = 'role = "bridge"\n'

test('an empty box is told that it only bridges', () => {
  const box = new ImportBox()
  box.look()
  expect(box.read('run/config')).toMatch(/^state=none$/m)
})

test('after a factory reset the configuration that was in force is put aside', () => {
  const box = new ImportBox()
  box.put('run/media/boot/ntm.toml', CONFIG)
  box.put('run/media/boot/ntm-report.txt', 'GOOD')
  box.put('data/forget', `boot=${box.sum()}\nstick=\n`)
  box.look()
  expect(box.read('run/media/boot/ntm.toml.before-reset')).toBe(CONFIG)
  expect(box.has('run/media/boot/ntm.toml')).toBe(false)
  expect(box.has('run/media/boot/ntm-report.txt')).toBe(false)
  expect(box.has('data/forget')).toBe(false)
  expect(box.read('run/config')).toMatch(/^state=none$/m)
  expect(box.read('console')).toContain('ntm.toml.before-reset')
})

test('one that was laid there for afterwards stays', () => {
  const box = new ImportBox()
  box.put('run/media/boot/ntm.toml', 'role = "tt"\n')
  box.put('data/forget', `boot=${'0'.repeat(64)}\n`)
  box.look()
  expect(box.has('run/media/boot/ntm.toml')).toBe(true)
  expect(box.has('data/forget')).toBe(false)
})

test('a wish for a factory reset goes into the data partition, then from the medium, then the box starts anew', () => {
  const box = new ImportBox()
  box.put('run/data', 'medium=disk\n')
  box.put('run/media/stick/factory-reset', '')
  box.look()
  expect(box.has('data/factory-reset')).toBe(true)
  expect(box.has('run/media/stick/factory-reset')).toBe(false)
  expect(box.read('console')).toMatch(/factory reset, as the file on stick asks.*systemctl --no-block reboot/s)
})
