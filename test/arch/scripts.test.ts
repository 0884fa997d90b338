import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { codeOnly, sources } from './scan.ts'

const ROOT = join(import.meta.dirname, '../..')

// While a script waits at its top level, what is declared further down is not there yet: functions are, a constant that one of them uses is a
// ReferenceError, minutes later perhaps.
test('behind its first top-level await a script of lab, image or tools declares functions and types alone', () => {
  let waiting = 0
  const late = ['lab', 'image', 'tools'].flatMap((dir) =>
    sources(join(ROOT, dir)).flatMap((file) => {
      const lines = codeOnly(readFileSync(join(ROOT, dir, file), 'utf8')).split('\n')
      const first = lines.findIndex((line) => /^(const [^=]*= |process\.exitCode = )?await /.test(line))
      if (first < 0) return []
      waiting++
      return lines.flatMap((line, i) =>
        i > first && /^(export )?(const|let|class) /.test(line) ? [`${dir}/${file}:${i + 1}: ${line}`] : [],
      )
    }),
  )
  expect(waiting).toBeGreaterThan(3)
  expect(late).toEqual([])
})
