import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { buildSanitized, libasan, sanitized } from '../sanitized.ts'

beforeAll(() => {
  if (libasan !== null) buildSanitized()
})

test.skipIf(libasan === null)('under sanitizers: packets of every kind, whole and damaged', async () => {
  const { stdout } = await sanitized([join(import.meta.dirname, 'child.ts'), '300'])
  const told = JSON.parse(stdout) as Record<string, number>
  for (const [name, count] of Object.entries(told)) expect(count, name).toBeGreaterThan(10)
})
