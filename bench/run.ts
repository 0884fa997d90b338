import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ROOT, whyNoLab } from '#lab/netns.ts'
import { measureNames } from './names.ts'
import { FAR, place } from './place.ts'
import { type Row, report, table } from './report.ts'
import { measureTraffic } from './traffic.ts'

/**
 * `npm run bench`: measures the main job in the lab and prints a table; `bench/results/latest.json` has the same for programs.
 *
 *   run.ts [--only names|traffic] [--quick] [--keep-logs]
 */
const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    'keep-logs': { type: 'boolean', default: false },
  },
})
const why = whyNoLab()
if (why !== null) {
  process.stderr.write(`bench: ${why}\n`)
  process.exit(1)
}

const wants = (part: 'names' | 'traffic'): boolean => options.only === undefined || options.only === part
const namesPlan = options.quick ? { samples: 15, restarts: 3 } : { samples: 60, restarts: 12 }
const rows: Row[] = []
const ratios: Record<string, number> = {}

for (const [lab, weather] of [
  ['plain', {}],
  ['far', FAR],
] as const) {
  if (lab === 'far' && !wants('names')) continue
  process.stdout.write(`lab ${lab}: building\n`)
  const p = await place(weather, options['keep-logs'])
  try {
    if (options['keep-logs']) p.scene.lab.keepLogs(`last-bench-${lab}`)
    if (lab === 'plain' && wants('traffic')) {
      const traffic = await measureTraffic(p, options.quick ? { runs: 2, seconds: 2 } : { runs: 5, seconds: 5 })
      rows.push(...traffic.rows)
      Object.assign(ratios, traffic.ratios)
    }
    if (wants('names')) rows.push(...(await measureNames(p, lab, namesPlan)))
  } catch (fault) {
    process.stderr.write(`the lab's logs: ${p.scene.lab.keepLogs('failed-bench')}\n`)
    throw fault
  } finally {
    p.scene.dispose()
  }
}

const done = report(rows, ratios)
process.stdout.write(`\n${table(done)}`)
// Half a run is for looking at; only a whole one is a result.
if (options.only === undefined && !options.quick) {
  mkdirSync(join(ROOT, 'bench/results'), { recursive: true })
  writeFileSync(join(ROOT, 'bench/results/latest.json'), `${JSON.stringify(done, null, 2)}\n`)
}
