import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { updateKey } from './keys.ts'

test('a key is made once, for its owner alone, with a certificate that even a box without a clock accepts', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'ntm-keys-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const made = await updateKey(dir)
  expect(statSync(made.key).mode & 0o777).toBe(0o600)
  const text = readFileSync(made.certificate, 'utf8')
  const certificate = new X509Certificate(text)
  expect(new Date(certificate.validFrom).getUTCFullYear()).toBe(2020)
  expect(new Date(certificate.validTo).getUTCFullYear()).toBe(2120)
  expect(readFileSync((await updateKey(dir)).certificate, 'utf8')).toBe(text)

  // Another key with this certificate is somebody's mistake.
  const other = await updateKey(join(dir, 'other'))
  vi.stubEnv('NTM_UPDATE_KEY', other.key)
  vi.stubEnv('NTM_UPDATE_CERT', made.certificate)
  onTestFinished(() => {
    vi.unstubAllEnvs()
  })
  await expect(updateKey(dir)).rejects.toThrow('NTM_UPDATE_KEY is not the key of NTM_UPDATE_CERT')
})
