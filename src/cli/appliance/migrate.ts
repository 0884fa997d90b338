import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { type DataState, type Migration, type MigrationPlan, planMigration } from '#appliance/migration.ts'
import { IoFault } from '#io/fault.ts'
import { run } from '#io/run.ts'

/** A directory that a migration may change as it likes: nobody else sees it yet. */
export type ConfigMigration = Migration<string>

/** All there were, oldest first. Version 1 is the first one: nothing to migrate from yet. */
export const MIGRATIONS: readonly ConfigMigration[] = []

/**
 * Brings `DATA/config` to the program's version, or takes back what an update left for it. Killed at any moment it goes on where it was, at the
 * next start of either program. Gives what was done. IoFault when the disk does not let it.
 */
export async function migrateData(data: string, program: number, migrations = MIGRATIONS): Promise<MigrationPlan> {
  const known = migrations.map((m) => m.from)
  try {
    let done = planMigration(dataState(data), program, known)
    // Taking back an older copy may leave steps to take.
    for (let plan = done; plan.do !== 'keep'; plan = planMigration(dataState(data), program, known)) {
      done = plan
      if (plan.do === 'refuse') return plan
      if (plan.do === 'make') make(data, program)
      if (plan.do === 'take-copy') takeCopy(data, plan.version, plan.instead)
      if (plan.do === 'migrate')
        await migrate(
          data,
          program,
          migrations.filter((m) => plan.steps.includes(m.from)),
        )
    }
    note(data, program)
    return done
  } catch (cause) {
    throw cause instanceof IoFault ? cause : new IoFault('bring the configuration to this version', cause)
  }
}

/** What is there. A configuration that does not say its version has the one of `DATA/version`, else the first. */
export function dataState(data: string): DataState {
  const copies = readdirSync(data).flatMap((name) => {
    const version = /^config\.v(\d{1,6})$/.exec(name)?.[1]
    return version === undefined ? [] : [Number(version)]
  })
  const config = join(data, 'config')
  if (!existsSync(config)) return { config: null, copies }
  return { config: numberIn(join(config, 'version')) ?? numberIn(join(data, 'version')) ?? 1, copies }
}

function make(data: string, program: number): void {
  const made = freshPart(data)
  mkdirSync(made, { mode: 0o755 })
  stamp(made, program)
  renameSync(made, join(data, 'config'))
  settle(data)
}

/** A name that nothing has: the `cp` of a program that was killed may go on writing to its own. What such ones left goes, now or the next time. */
function freshPart(data: string): string {
  for (const name of readdirSync(data)) {
    if (!name.startsWith('config.part')) continue
    try {
      rmSync(join(data, name), { recursive: true, force: true, maxRetries: 3 })
    } catch {
      // Still written to.
    }
  }
  return join(data, `config.part-${process.pid}-${Date.now().toString(36)}`)
}

/** Renames only: whatever lies between two of them is a state that `planMigration` knows. */
function takeCopy(data: string, version: number, instead: number | null): void {
  const config = join(data, 'config')
  if (instead !== null) aside(data, instead)
  renameSync(join(data, `config.v${version}`), config)
  settle(data)
}

async function migrate(data: string, program: number, steps: readonly ConfigMigration[]): Promise<void> {
  const part = freshPart(data)
  await run('cp', ['-a', join(data, 'config'), part], { withinMs: 60_000 })
  for (const step of [...steps].sort((a, b) => a.from - b.from)) await step.apply(part)
  stamp(part, program)
  // Every file of the copy is on the disk before its name says that it is whole.
  await run('sync', [], { withinMs: 60_000 })
  const whole = join(data, `config.v${program}`)
  rmSync(whole, { recursive: true, force: true })
  renameSync(part, whole)
  settle(data)
  aside(data, steps[0]?.from ?? program - 1)
  renameSync(whole, join(data, 'config'))
  settle(data)
}

/** The configuration becomes the copy of its version; an older copy of that version goes. */
function aside(data: string, version: number): void {
  const copy = join(data, `config.v${version}`)
  // It says its own version from now on: beside it there is only one DATA/version.
  stamp(join(data, 'config'), version)
  rmSync(copy, { recursive: true, force: true })
  renameSync(join(data, 'config'), copy)
  settle(data)
}

/** DATA/version, for people: what counts is in the configuration itself. */
function note(data: string, program: number): void {
  stamp(join(data, 'config'), program)
  if (numberIn(join(data, 'version')) !== program) stamp(data, program)
}

function stamp(dir: string, version: number): void {
  const file = join(dir, 'version')
  if (numberIn(file) === version) return
  writeFileSync(`${file}.new`, `${version}\n`, { flush: true })
  renameSync(`${file}.new`, file)
}

function numberIn(file: string): number | null {
  try {
    const text = readFileSync(file, 'utf8').trim()
    return /^\d{1,6}$/.test(text) ? Number(text) : null
  } catch {
    // Not there.
    return null
  }
}

/** Renames in a directory are on the disk when it is. */
function settle(dir: string): void {
  const file = openSync(dir, 'r')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}
