import { readdirSync, readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '../..')

// Tests run through another parser than Node's own, which is what runs the product: `for (const of of xs)` passes one and
// not the other. So everything is shown to Node's as well.
test('Node itself can strip the types of every file', () => {
  const files = ['src', 'lab', 'tools', 'bench', 'image'].flatMap((dir) =>
    readdirSync(join(ROOT, dir), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => join(dir, file)),
  )
  expect(files.length).toBeGreaterThan(50)
  const refused = files.flatMap((file) => {
    try {
      stripTypeScriptTypes(readFileSync(join(ROOT, file), 'utf8'))
      return []
    } catch (fault) {
      // What Node would say when the program starts.
      return [`${file}: ${fault instanceof Error ? fault.message : String(fault)}`]
    }
  })
  expect(refused).toEqual([])
})
