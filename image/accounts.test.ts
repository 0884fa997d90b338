import { expect, test } from 'vitest'
import { accountFiles } from './accounts.ts'

const files = accountFiles()
const rows = (name: string) =>
  (files[name] ?? '')
    .trim()
    .split('\n')
    .map((line) => line.split(':'))

test('nobody has a password, and only root has a shell', () => {
  expect(rows('etc/shadow').every(([, password]) => password === '*')).toBe(true)
  expect(rows('etc/passwd').every(([, password]) => password === 'x')).toBe(true)
  expect(
    rows('etc/passwd')
      .filter((row) => row[6] !== '/usr/sbin/nologin')
      .map(([name]) => name),
  ).toEqual(['root'])
})

test('every account has its group, and no number is given twice', () => {
  const groups = new Map(rows('etc/group').map(([name, , id]) => [id, name]))
  expect(groups.size).toBe(rows('etc/group').length)
  const ids = rows('etc/passwd').map(([, , id]) => id)
  expect(new Set(ids).size).toBe(ids.length)
  for (const [, , , group] of rows('etc/passwd')) expect(groups.has(group)).toBe(true)
  expect(rows('etc/passwd').find(([name]) => name === 'ntm')?.[2]).toBe('900')
})
