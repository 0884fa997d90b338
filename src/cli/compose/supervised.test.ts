import { expect, onTestFinished, test } from 'vitest'
import { Thread } from '#io/thread.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { Deed } from '#test/support/thread-program.ts'
import { Life } from './life.ts'
import { runRole, Stopping } from './process.ts'
import { Supervised } from './supervised.ts'

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))

/** A manager that keeps what it is told. */
function manager(watchdogMs: number | null) {
  const heard: string[] = []
  return { heard, to: { watchdogMs, tell: (lines: readonly string[]) => heard.push(lines.join('|')) * 0 } }
}

test('a worker thread that hangs is not heard of any more, though this thread lives', { timeout: 30_000 }, async () => {
  const { thread } = await Thread.start<Deed, unknown>({
    name: 'ntm-test',
    entry: new URL('../../../test/support/thread-program.ts', import.meta.url),
    config: {},
    log: silent,
    counters: new CounterMap(),
    onOut: () => {},
    onFail: () => {},
  })
  onTestFinished(() => thread.stop())
  const { heard, to } = manager(1200)
  const life = new Life()
  life.follow(thread)
  const supervised = new Supervised(to, life, silent)
  supervised.begin()
  onTestFinished(() => supervised.stopping())
  supervised.ready()
  const alive = (): number => heard.filter((text) => text.includes('WATCHDOG=1')).length
  while (alive() < 3) await pause(50)
  thread.tell({ deed: 'hang' })
  // One turn may still see the last beat.
  await pause(900)
  const before = alive()
  await pause(2000)
  expect(alive()).toBe(before)
})

test('every heart must beat', () => {
  const [one, two] = [{ beat: 1 }, { beat: 1 }]
  const life = new Life()
  expect(life.isAlive()).toBe(true)
  life.follow(one)
  life.follow(two)
  expect(life.isAlive()).toBe(true)
  expect(life.isAlive()).toBe(false)
  one.beat++
  expect(life.isAlive()).toBe(false)
  one.beat++
  two.beat++
  expect(life.isAlive()).toBe(true)
})

test('a start that waits asks for more time; its line of state is told when it changes; a deaf manager is said once', async () => {
  const { heard, to } = manager(60)
  const warned: string[] = []
  let line = 'waiting'
  const run = runRole(
    'tt',
    { ...silent, warn: (event) => void warned.push(event) },
    async (undo) => {
      undo.life.describe(() => line)
      await pause(100)
      line = 'b1: registered'
      await pause(60)
    },
    { supervisor: { ...to, tell: (lines) => to.tell(lines) - 111 } },
  )
  while (!heard.some((text) => text.includes('READY=1'))) await pause(10)
  await pause(100)
  process.emit('SIGTERM')
  expect(await run).toBe(0)
  expect(heard[0]).toBe('EXTEND_TIMEOUT_USEC=30000000|STATUS=starting')
  const states = heard.flatMap((text) => text.split('|').filter((part) => part.startsWith('STATUS=')))
  expect(states).toEqual(['STATUS=starting', 'STATUS=waiting', 'STATUS=b1: registered', 'STATUS=stopping'])
  const ready = heard.findIndex((text) => text.includes('READY=1'))
  expect(heard.slice(0, ready).some((text) => text.includes('WATCHDOG'))).toBe(false)
  expect(heard.slice(ready + 1, -1).every((text) => text.startsWith('WATCHDOG=1'))).toBe(true)
  expect(heard.at(-1)).toBe('STOPPING=1|STATUS=stopping')
  expect(warned).toEqual(['supervisor.deaf'])
})

test('a role that never became ready does not say so', async () => {
  const { heard, to } = manager(null)
  const run = runRole(
    'tt',
    silent,
    async (undo) => {
      process.emit('SIGTERM')
      await undo.stopping
      throw new Stopping()
    },
    { supervisor: to },
  )
  expect(await run).toBe(0)
  expect(heard.join(' ')).not.toContain('READY')
})
