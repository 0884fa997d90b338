import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { lostLibraries } from './libraries.ts'

test('a program whose library is not in the root is named, with the library; scripts and data are no programs', async () => {
  const root = mkdtempSync(join(tmpdir(), 'ntm-root-'))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  for (const dir of ['usr/bin', 'usr/sbin', 'usr/lib', 'usr/libexec']) mkdirSync(join(root, dir), { recursive: true })
  copyFileSync('/usr/bin/env', join(root, 'usr/bin/env'))
  writeFileSync(join(root, 'usr/bin/script'), '#!/bin/sh\n')
  writeFileSync(join(root, 'usr/lib/empty'), '')
  expect(await lostLibraries(root)).toEqual(['/usr/bin/env needs libc.so.6'])
  // Only the name counts: a library of the box, wherever the loader finds it.
  writeFileSync(join(root, 'usr/lib/libc.so.6'), '')
  expect(await lostLibraries(root)).toEqual([])
})
