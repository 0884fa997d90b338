import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { mustBeOurs } from './image.ts'

test('a result takes the place of nothing, of an empty directory or of an earlier result, and of nothing else', () => {
  const dir = mkdtempSync(join(tmpdir(), 'ntm-out-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  mustBeOurs(join(dir, 'new'))
  mkdirSync(join(dir, 'empty'))
  mustBeOurs(join(dir, 'empty'))
  writeFileSync(join(dir, 'letters'), '')
  expect(() => mustBeOurs(dir)).toThrow('holds other things than an image')
  writeFileSync(join(dir, 'ntm.img'), '')
  mustBeOurs(dir)
})
