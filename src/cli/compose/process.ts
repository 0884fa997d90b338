import { openSupervisor, type Supervisor } from '#io/supervisor.ts'
import type { WallTime } from '#ntm-lib/base/time.ts'
import type { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import { Life } from './life.ts'
import { Supervised } from './supervised.ts'

/** What must be undone when the role stops; run newest first, each at most once. */
export class Undo {
  /** What is to be known of the role from outside while it runs. */
  readonly life = new Life()
  /** Resolves when the role is told to stop; a start that waits for the network gives up then. */
  readonly stopping: Promise<void>
  readonly #steps: (() => void | Promise<void>)[] = []
  readonly #log: Log
  #tellStopping: () => void = () => {}
  #isStopping = false

  constructor(log: Log) {
    this.#log = log
    this.stopping = new Promise((resolve) => {
      this.#tellStopping = resolve
    })
  }

  get isStopping(): boolean {
    return this.#isStopping
  }

  /** Keeps the step. Once the role is stopping it also throws `Stopping`, so that a start that is still under way ends here. */
  add(step: () => void | Promise<void>): void {
    this.#steps.push(step)
    if (this.#isStopping) throw new Stopping()
  }

  /** The role is told to stop: what is being started ends at its next step. */
  stop(): void {
    this.#isStopping = true
    this.#tellStopping()
  }

  /** Never throws: a step that fails is logged and the others still run. */
  async run(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step()
      } catch (e) {
        // Half-gone machinery (an interface removed under us) must not keep the rest from being cleaned.
        this.#log.warn('role.undo-failed', { why: e instanceof Error ? e.message : String(e) })
      }
    }
  }
}

/** Thrown through a start that was told to stop: the normal end of it, not a fault. */
export class Stopping extends Error {
  override readonly name = 'Stopping'
}

/**
 * On SIGUSR1 the log gets every counter that is not zero, and how full the role's tables are: what it did with packets and
 * what it remembers, without asking for a restart. `refresh` fetches what packet workers have counted.
 */
export function tellCounters(
  log: Log,
  counters: CounterMap,
  tables: () => Tables | Promise<Tables>,
  refresh: () => Promise<void> = async () => {},
): void {
  const tell = async (): Promise<void> => {
    await refresh()
    const sizes = Object.entries(await tables()).map(([name, size]) => [`table.${name}`, size] as const)
    log.info('role.counters', { ...Object.fromEntries(counters.values), ...Object.fromEntries(sizes) })
  }
  process.on('SIGUSR1', () => {
    // A packet worker that is just ending has nothing more to tell.
    tell().catch((e: unknown) => log.warn('role.no-counters', { why: e instanceof Error ? e.message : String(e) }))
  })
}

/** How full the role's tables are, by name. */
export type Tables = Readonly<Record<string, number>>

/** What the place where a role runs wants of it besides. */
export type RoleExtras = {
  /** Who supervises the process; unless told, whom the environment names. */
  readonly supervisor?: Supervisor | null
  /** Hears the coordinator's time. */
  readonly clock?: { told(time: WallTime, log: Log): void }
}

/**
 * Starts a role and keeps it until SIGINT, SIGTERM or a fatal fault; then undoes everything it set up. Returns the
 * exit code: 0 after a signal, 1 after a fault. `start` adds to `undo` as it goes, so a start that fails half-way
 * leaves nothing behind either.
 */
export async function runRole(
  role: string,
  log: Log,
  start: (undo: Undo, fail: (why: Error) => void) => Promise<void>,
  extras: RoleExtras = {},
): Promise<number> {
  const undo = new Undo(log)
  const { supervisor = openSupervisor(process.env), clock } = extras
  if (clock !== undefined) undo.life.onTime = (told) => clock.told(told, log)
  const supervised = new Supervised(supervisor, undo.life, log)
  let stop: (code: number) => void = () => {}
  const stopped = new Promise<number>((resolve) => {
    stop = resolve
  })
  let failed = false
  const fail = (why: Error): void => {
    // What breaks while everything is being taken down has nobody left to hurt.
    if (undo.isStopping) return
    failed = true
    log.error('role.failed', { role, why: why.message })
    if (why.name !== 'IoFault') log.error('role.stack', { stack: why.stack ?? '' })
    stop(1)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop(0))
  process.once('uncaughtException', fail)
  process.once('unhandledRejection', (why) => fail(why instanceof Error ? why : new Error(String(why))))
  supervised.begin()
  const started = start(undo, fail)
  try {
    await Promise.race([started, stopped])
    if (!failed && !(await isSettled(stopped))) {
      log.info('role.ready', { role, pid: process.pid })
      supervised.ready()
    }
    return await stopped
  } finally {
    supervised.stopping()
    undo.stop()
    // Told to stop in the middle of a start: two hands at the same tables would leave something behind.
    await Promise.race([started.catch(() => {}), pause(START_ENDS_WITHIN_MS)])
    await undo.run()
    log.info('role.stopped', { role })
  }
}

const isSettled = (p: Promise<unknown>): Promise<boolean> =>
  Promise.race([p.then(() => true), Promise.resolve().then(() => false)])
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms).unref())
const START_ENDS_WITHIN_MS = 5000
