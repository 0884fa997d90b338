import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { checkConfig } from '../config/load.ts'
import { withToken } from './run.ts'

test('a token beside the configuration counts before what the file says; without one the file does', () => {
  const dir = mkdtempSync(join(tmpdir(), 'ntm-run-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  const file = join(dir, 'ntm.toml')
  const config = checkConfig(file, 'role = "bridge"\n[network]\ntoken_file = "/etc/ntm/token"\n')
  expect(withToken(config, file)).toBe(config)
  writeFileSync(join(dir, 'token'), 'x')
  expect(withToken(config, file)).toEqual({ ...config, network: { token_file: join(dir, 'token') } })
  const coordinator = checkConfig(file, 'role = "coordinator"\n[network]\ndir = "/x"\n')
  expect(withToken(coordinator, file)).toBe(coordinator)
})
