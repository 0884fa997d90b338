import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Adds up vitest's JSON reports in a directory and prints one last line for people and machines:
 *
 *   test-summary.ts DIR [STEP THAT FAILED...]
 *
 * Exit code 1 when a test or a step failed, when a suite left no report, or when a namespace test was skipped although
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
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[]
  }[]
}

const [dir = '', ...steps] = process.argv.slice(2)
const mustRun = (process.env['NTM_MUST_RUN'] ?? '').split(',')
const files = existsSync(dir) ? readdirSync(dir).filter((file) => file.endsWith('.json')) : []
let [passed, failed, skipped] = [0, 0, 0]
const why: string[] = steps.map((step) => `step ${step} failed`)

for (const file of files) {
  const suite = file.replace(/\.json$/, '')
  const report = JSON.parse(readFileSync(join(dir, file), 'utf8')) as Report
  passed += report.numPassedTests
  failed += report.numFailedTests
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
