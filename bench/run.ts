import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { LabError } from '#lab/ip.ts'
import { ROOT, whyNoLab } from '#lab/netns.ts'
import { charts } from './charts.ts'
import { measureRelay } from './measures/relay.ts'
import { measureTranslation } from './measures/translate.ts'
import { measureMoves } from './moves.ts'
import { measureEverythingOfNames } from './names.ts'
import { buildAll } from './peers/all.ts'
import { PEERS } from './peers/peer.ts'
import { ALONE, type ComparedName, FULL, MEASURES, type MeasureName, measure, ON_REQUEST, QUICK } from './plan.ts'
import { ratios } from './ratios.ts'
import { markdown, type Report, renewed, report } from './report.ts'
import { GROUPS, type Row } from './row.ts'
import { measureSetup } from './setup.ts'

/**
 * `npm run bench` (root): measures the product beside its peers, prints tables, and leaves `latest.json`, `latest.md` and charts.
 *
 *   run.ts [--quick] [--only MEASURE,…] [--peers PEER,…] [--rounds N] [--product DIR] [--renew]
 *
 * A whole run goes to `bench/results`; anything less to `.run/bench/last`, for looking at. With `--renew` measures that are a group of their
 * own take the place of theirs in `bench/results`.
 */
async function main(): Promise<number> {
  let asked: ReturnType<typeof read>
  try {
    asked = read()
  } catch (fault) {
    // parseArgs throws for every mistake in the command line, with a message meant for people.
    process.stderr.write(`bench: ${fault instanceof Error ? fault.message : String(fault)}\n${usage}`)
    return 2
  }
  const why = whyNoLab()
  if (why !== null) {
    process.stderr.write(`bench: ${why}\n`)
    return 1
  }
  execFileSync('make', ['-s', '-C', join(ROOT, 'bench/native')], { stdio: 'inherit' })
  const begun = performance.now()
  const say = (text: string): void => {
    process.stdout.write(`${((performance.now() - begun) / 1000).toFixed(0).padStart(5)} s  ${text}\n`)
  }

  const failed: string[] = []
  // An hour of somebody's machine is not thrown away for one measure: the rest is told, but is no result.
  const attempt = async (name: string, act: () => Promise<unknown>): Promise<void> => {
    try {
      await act()
    } catch (fault) {
      if (!(fault instanceof LabError)) throw fault
      failed.push(name)
      say(`${name} failed: ${fault.message}`)
    }
  }
  const rows: Row[] = []
  const peers: Record<string, string> = {}
  const plan = { ...(asked.quick ? QUICK : FULL), ...(asked.rounds === null ? {} : { rounds: asked.rounds }) }
  const compared = asked.measures.filter((name): name is ComparedName => !ALONE.some((alone) => alone === name))
  if (compared.length > 0) {
    const built = await buildAll(asked.peers, asked.product, say)
    Object.assign(peers, built.peers)
    try {
      for (const name of compared)
        rows.push(...(await measure(name, { ...plan, arenas: built.arenas, say }, asked.product)))
    } finally {
      for (const arena of built.arenas) arena.dispose()
    }
  }
  if (asked.measures.includes('translate')) {
    await attempt('translate', async () => {
      const done = await measureTranslation({ ...plan, arenas: [], say }, asked.product, plan)
      rows.push(...done.rows)
      Object.assign(peers, done.peers)
    })
  }
  if (asked.measures.includes('relay')) {
    await attempt('relay', async () => {
      const done = await measureRelay({ ...plan, say })
      rows.push(...done.rows)
      Object.assign(peers, done.peers)
    })
  }
  if (asked.measures.includes('names'))
    await attempt('names', async () => rows.push(...(await measureEverythingOfNames(asked.quick, say))))
  for (const [name, measureAlone] of [
    ['setup', measureSetup],
    ['moves', measureMoves],
  ] as const)
    if (asked.measures.includes(name))
      await attempt(name, async () => rows.push(...(await measureAlone(asked.quick, say))))

  const whole = asked.isWhole && failed.length === 0
  const all = Object.entries(ratios(rows))
  // A part of a run has a part of the ratios; a whole one also says which are missing.
  const done = report(
    rows,
    Object.fromEntries(all.filter(([, value]) => whole || value !== null)),
    peers,
    asked.product,
  )
  const dir = write(done, join(ROOT, whole ? 'bench/results' : '.run/bench/last'))
  if (asked.renew && failed.length === 0) renew(done, asked.measures)
  process.stdout.write(`\n${markdown(done)}\n${dir}\n`)
  if (failed.length > 0) process.stderr.write(`bench: failed: ${failed.join(', ')}\n`)
  return failed.length === 0 ? 0 : 1
}

/** Only what a measure has to itself is renewed: its figures and its peers' are then still of one run. */
function renew(part: Report, measures: readonly MeasureName[]): void {
  const dir = join(ROOT, 'bench/results')
  const whole = JSON.parse(readFileSync(join(dir, 'latest.json'), 'utf8')) as Report
  const groups = GROUPS.filter((group) => OWN.includes(group) && measures.some((measure) => measure === group))
  const next = renewed(whole, part, groups)
  write({ ...next, ratios: ratios(next.rows) }, dir)
  process.stdout.write(`renewed in bench/results: ${groups.join(', ')}\n`)
}

const OWN: readonly string[] = ['translate', 'relay', 'names', 'setup', 'moves']

function write(done: Report, dir: string): string {
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'latest.json'), `${JSON.stringify(done, null, 2)}\n`)
  writeFileSync(join(dir, 'latest.md'), markdown(done))
  for (const [file, svg] of Object.entries(charts(done.rows))) writeFileSync(join(dir, file), svg)
  return dir
}

function read() {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      peers: { type: 'string' },
      rounds: { type: 'string' },
      product: { type: 'string', default: ROOT },
      renew: { type: 'boolean', default: false },
    },
  })
  const chosen = <T extends string>(text: string, all: readonly T[], what: string): T[] =>
    text.split(',').map((word) => {
      const found = all.find((one) => one === word)
      if (found === undefined) throw new Error(`no ${what} ${word}`)
      return found
    })
  const rounds = values.rounds === undefined ? null : Number(values.rounds)
  if (rounds !== null && !(Number.isInteger(rounds) && rounds > 0)) throw new Error('--rounds: a number of at least 1')
  const full = !values.quick && values.peers === undefined && rounds === null && values.product === ROOT
  if (values.renew && !full) throw new Error('--renew: goes with --only alone')
  return {
    quick: values.quick,
    renew: values.renew,
    measures: values.only === undefined ? [...MEASURES] : chosen(values.only, EVERY_MEASURE, 'measure'),
    peers: values.peers === undefined ? [...PEERS] : chosen(values.peers, PEERS, 'peer'),
    rounds,
    product: values.product,
    isWhole: full && values.only === undefined,
  }
}

const EVERY_MEASURE: readonly MeasureName[] = [...MEASURES, ...ON_REQUEST]

const usage = `usage: npm run bench -- [--quick] [--only MEASURE,...] [--peers PEER,...] [--rounds N] [--product DIR] [--renew]
  MEASURE    ${MEASURES.join(' ')}
             ${ON_REQUEST.join(' ')}: only when asked for
  PEER       ${PEERS.join(' ')}
  --quick    two short rounds
  --renew    with --only: ${OWN.join(', ')} take the place of the last whole run's in bench/results
  --product  measures the code in another directory, as of an older commit
`

process.exitCode = await main()
