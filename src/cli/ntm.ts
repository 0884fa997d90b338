#!/usr/bin/env node
import { ConfigError } from './config/fault.ts'
import { run } from './run.ts'

// The only place that turns failures into exit codes: 0 done, 1 the machine or the network said no, 2 the operator's mistake.
try {
  process.exitCode = await run(process.argv.slice(2))
} catch (e) {
  const mistake = e instanceof ConfigError
  const expected = mistake || (e instanceof Error && e.name === 'IoFault')
  process.stderr.write(`${expected && e instanceof Error ? e.message : e instanceof Error ? e.stack : String(e)}\n`)
  process.exit(mistake ? 2 : 1)
}
