import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'

const SCRIPT = join(import.meta.dirname, '../../lab/test-summary.ts')

test('all passed: adds up both suites', () => {
  expect(summary({ fast: report(3), netns: report(2) })).toEqual({ last: '5 passed, 0 failed, 0 skipped', code: 0 })
})

test('a failed test fails the run', () => {
  expect(summary({ fast: report(3, 1) })).toEqual({ last: '3 passed, 1 failed, 0 skipped', code: 1 })
})

test('a skipped namespace test counts as failed where namespaces must run, and is only skipped elsewhere', () => {
  const reports = { fast: report(1), netns: report(2, 0, 1) }
  expect(summary(reports, 'netns')).toEqual({ last: '3 passed, 1 failed, 0 skipped', code: 1 })
  expect(summary(reports, '')).toEqual({ last: '3 passed, 0 failed, 1 skipped', code: 0 })
})

test('what passes in a second run of its file is unsteady, not failed; what fails there too is failed', () => {
  const first = { ...report(3, 2), testResults: [failing('one', 'two')] }
  const second = (two: string) => ({
    ...report(2),
    testResults: [{ ...failing('one'), assertionResults: [verdict('one', 'passed'), verdict('two', two)] }],
  })
  expect(summary({ netns: first, 'netns.again': second('passed') })).toEqual({
    last: '5 passed, 0 failed, 0 skipped',
    code: 0,
  })
  expect(summary({ netns: first, 'netns.again': second('failed') })).toEqual({
    last: '4 passed, 1 failed, 0 skipped',
    code: 1,
  })
})

test('names the files with a failure, for their second run', () => {
  const file = join(mkdtempSync(join(tmpdir(), 'ntm-summary-')), 'netns.json')
  onTestFinished(() => rmSync(dirname(file), { recursive: true }))
  const steady = { name: 'steady', status: 'passed', assertionResults: [] }
  writeFileSync(file, JSON.stringify({ ...report(1, 1), testResults: [steady, failing('one')] }))
  expect(spawnSync(process.execPath, [SCRIPT, '--failed', file], { encoding: 'utf8' }).stdout).toBe('x\n')
})

test('a failed step, a file that did not load, an empty suite and no report at all fail the run', () => {
  expect(summary({ fast: report(3) }, '', ['lint']).code).toBe(1)
  expect(summary({ fast: { ...report(3), success: false } }).code).toBe(1)
  expect(summary({ fast: report(3), netns: report(0) }).code).toBe(1)
  expect(summary({}).code).toBe(1)
})

const verdict = (fullName: string, status: string) => ({ fullName, status })

function failing(...tests: readonly string[]) {
  return { name: 'x', status: 'failed', assertionResults: tests.map((name) => verdict(name, 'failed')) }
}

function report(passed: number, failed = 0, pending = 0): Record<string, unknown> {
  const assertionResults = Array.from({ length: pending }, () => ({ status: 'skipped', fullName: 'idle' }))
  return {
    numPassedTests: passed,
    numFailedTests: failed,
    numPendingTests: pending,
    numTodoTests: 0,
    success: failed === 0,
    testResults: [{ name: 'x', status: failed === 0 ? 'passed' : 'failed', assertionResults }],
  }
}

function summary(
  reports: Record<string, Record<string, unknown>>,
  mustRun = 'netns',
  steps: readonly string[] = [],
): { last: string | undefined; code: number | null } {
  const dir = mkdtempSync(join(tmpdir(), 'ntm-summary-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  for (const [name, value] of Object.entries(reports)) writeFileSync(join(dir, `${name}.json`), JSON.stringify(value))
  const done = spawnSync(process.execPath, [SCRIPT, dir, ...steps], {
    encoding: 'utf8',
    env: { ...process.env, NTM_MUST_RUN: mustRun },
  })
  return { last: done.stdout.trim().split('\n').at(-1), code: done.status }
}
