import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Adds up vitest's JSON reports in a directory and prints one last line for people and machines:
 *
 *   test-summary.ts DIR [STEP THAT FAILED...]
 *   test-summary.ts --failed REPORT     the files with a failed test, one per line
 *
 * `SUITE.again.json` is a second run of the files that failed in `SUITE.json`. A test that passed there counts as passed and is named
 * as unsteady. Exit code 1 when a test or a step failed, when a suite left no report, or when a namespace test was skipped although
 * NTM_MUST_RUN names its suite.
 */
type Report = {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly numFailedTestSuites: number
  readonly success: boolean
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[]
  }[]
}

const AGAIN = '.again.json'
const [first = '', ...rest] = process.argv.slice(2)
if (first === '--failed') {
  for (const { name } of failures(read(rest[0] ?? ''))) process.stdout.write(`${name}\n`)
} else {
  summarise(first, rest)
}
function summarise(dir: string, steps: readonly string[]): void {
  const mustRun = (process.env['NTM_MUST_RUN'] ?? '').split(',')
  const files = existsSync(dir) ? readdirSync(dir).filter((f) => f.endsWith('.json') && !f.endsWith(AGAIN)) : []
  let [passed, failed, skipped] = [0, 0, 0]
  const why: string[] = steps.map((step) => `step ${step} failed`)

  for (const file of files) {
    const suite = file.replace(/\.json$/, '')
    const report = read(join(dir, file))
    const unsteady = passedAgain(report, join(dir, `${suite}${AGAIN}`))
    for (const name of unsteady) process.stdout.write(`unsteady, passed the second time: ${name}\n`)
    passed += report.numPassedTests + unsteady.length
    failed += report.numFailedTests - unsteady.length
    const idle = report.numPendingTests + report.numTodoTests
    skipped += idle
    if (!report.success && report.numFailedTests === 0) why.push(`${suite}: a test file did not load`)
    if (report.numPassedTests + report.numFailedTests + idle === 0) why.push(`${suite}: no test ran`)
    if (idle > 0 && mustRun.includes(suite)) {
      failed += idle
      skipped -= idle
      for (const result of report.testResults) {
        for (const test of result.assertionResults) {
          if (test.status !== 'passed' && test.status !== 'failed') why.push(`${suite}: skipped: ${test.fullName}`)
        }
      }
    }
  }
  if (files.length === 0) why.push('no suite left a report')

  for (const line of why) process.stdout.write(`${line}\n`)
  process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped\n`)
  process.exitCode = failed === 0 && why.length === 0 ? 0 : 1
}

function read(file: string): Report {
  return JSON.parse(readFileSync(file, 'utf8')) as Report
}

/** Test files with a failure in them, or that did not load. */
function failures(report: Report): readonly Report['testResults'][number][] {
  return report.testResults.filter(({ status }) => status === 'failed')
}

/** Failed tests of `report` that passed in the second run of their file. */
function passedAgain(report: Report, again: string): string[] {
  if (!existsSync(again)) return []
  const good = new Set(
    read(again).testResults.flatMap(({ name, assertionResults }) =>
      assertionResults.filter(({ status }) => status === 'passed').map(({ fullName }) => `${name}: ${fullName}`),
    ),
  )
  return failures(report).flatMap(({ name, assertionResults }) =>
    assertionResults
      .filter(({ status }) => status === 'failed')
      .map(({ fullName }) => `${name}: ${fullName}`)
      .filter((test) => good.has(test)),
  )
}
