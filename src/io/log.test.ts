import { expect, test } from 'vitest'
import { openLog } from './log.ts'

test('text lines carry time, level, event and fields', () => {
  const lines: string[] = []
  const log = openLog({ level: 'info', format: 'text' }, (l) => lines.push(l))
  log.debug('too.quiet')
  log.warn('tunnel.failed', { path: '1a', why: 'no answer', tries: 3 })
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatch(
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z warn {2}tunnel\.failed path=1a why="no answer" tries=3\n$/,
  )
})

test('json lines are one object each', () => {
  const lines: string[] = []
  openLog({ level: 'debug', format: 'json' }, (l) => lines.push(l)).debug('role.ready', { role: 'tt' })
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 'debug', event: 'role.ready', role: 'tt' })
})
