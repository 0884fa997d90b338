import { afterEach, expect, test } from 'vitest'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import { quiet } from '#ntm-lib/ports/log.ts'
import type { Config, Deed } from '#test/support/thread-program.ts'
import { IoFault } from './fault.ts'
import { Thread } from './thread.ts'
import { Gate } from './thread-gate.ts'

const ENTRY = new URL('../../test/support/thread-program.ts', import.meta.url)

test('what is told and asked is answered in order', async () => {
  const { thread, value, out } = await start()
  expect(value).toEqual({ config: {} })
  thread.tell({ deed: 'echo', value: 1 })
  thread.tell({ deed: 'echo', value: new Uint8Array([1, 2]) })
  expect(await thread.ask({ deed: 'echo', value: 3n })).toBe(3n)
  expect(out).toEqual([1, new Uint8Array([1, 2])])
})

test('an error stays what it was', async () => {
  const { thread } = await start()
  const io = await thread.ask({ deed: 'throw', what: 'io' }).catch((e: unknown) => e)
  expect(io).toBeInstanceOf(IoFault)
  expect(io).toMatchObject({ op: 'open it', code: 'ENOENT', message: 'open it: not there' })
  expect(await thread.ask({ deed: 'throw', what: 'bug' }).catch(nameOf)).toBe('BugError')
  expect(await thread.ask({ deed: 'throw', what: 'config' }).catch(nameOf)).toBe('ConfigError')
  expect(await thread.ask({ deed: 'echo', value: 'still there' })).toBe('still there')
})

test('a start that fails rejects with its fault', async () => {
  const failed = await start({ failAtStart: true }).catch((e: unknown) => e)
  expect(failed).toMatchObject({ name: 'IoFault', code: 'ENOENT' })
})

test.each(['throw', 'reject', 'exit'] as const)('a worker that crashes by %s is told once', async (how) => {
  const { thread, fails, failed } = await start()
  thread.tell({ deed: 'crash', how })
  const waits = thread.ask({ deed: 'echo', value: 1 })
  await expect(waits).rejects.toMatchObject({ name: 'IoFault', op: 'ask thread test' })
  expect(await failed).toMatchObject({
    name: 'IoFault',
    message: expect.stringMatching(how === 'exit' ? /by itself/ : /not there/),
  })
  await thread.stop()
  expect(fails).toHaveLength(1)
  await expect(thread.ask({ deed: 'echo', value: 1 })).rejects.toThrow('has ended')
})

test('counters and logs come over, the last of them with the stop', async () => {
  const { thread, counters, events } = await start()
  thread.tell({ deed: 'count', name: 'a.b', by: 3 })
  thread.tell({ deed: 'count', name: 'a.b', by: 4 })
  await thread.refresh()
  expect(counters.get('a.b')).toBe(7)
  thread.tell({ deed: 'echo', value: 0 })
  thread.tell({ deed: 'count', name: 'a.b', by: 1 })
  await thread.stop()
  expect(counters.get('a.b')).toBe(8)
  expect(counters.get('asked-before')).toBeGreaterThan(0)
  expect(events).toEqual(['echo.done'])
})

test('the beat advances while the loop turns and stands still while it does not', async () => {
  const { thread } = await start()
  const before = thread.beat
  while (thread.beat === before) await pause(20)
  const busy = thread.ask({ deed: 'busy', millis: 700 })
  await pause(50)
  const during = thread.beat
  await pause(400)
  expect(thread.beat).toBe(during)
  await busy
  while (thread.beat === during) await pause(20)
})

test('a worker that hangs is ended by force, and the stop ends', async () => {
  const { thread, fails, events } = await start()
  thread.tell({ deed: 'hang' })
  await thread.stop()
  expect(events).toContain('thread.killed')
  expect(fails).toEqual([])
})

test('a worker that hangs by itself is noticed, told of once, and ended', async () => {
  const { thread, fails, failed } = await start({}, 2)
  thread.tell({ deed: 'hang' })
  const asked = thread.ask({ deed: 'echo', value: 1 })
  await expect(asked).rejects.toThrow('has ended')
  expect(await failed).toMatchObject({ name: 'IoFault', message: 'run thread test: it has not moved for 2 s' })
  await thread.stop()
  expect(fails).toHaveLength(1)
})

test('no more waits than the gate lets in', async () => {
  const memory = new SharedArrayBuffer(Gate.bytes)
  const { thread, out } = await start()
  thread.tell({ deed: 'flood', items: 100, gate: memory, limit: 10 })
  await thread.ask({ deed: 'echo', value: 0 })
  expect(out).toEqual([...Array(10).keys(), { lost: 90 }])
  const gate = new Gate(memory, 10)
  for (let i = 0; i < 4; i++) gate.leave()
  thread.tell({ deed: 'flood', items: 100, gate: memory, limit: 10 })
  await thread.ask({ deed: 'echo', value: 0 })
  expect(out.at(-1)).toEqual({ lost: 96 })
})

type Started = {
  readonly thread: Thread<Deed, unknown>
  readonly value: unknown
  readonly out: unknown[]
  readonly fails: Error[]
  readonly failed: Promise<Error>
  readonly counters: CounterMap
  readonly events: string[]
}

async function start(config: Config = {}, hungAfterSeconds = 60): Promise<Started> {
  const [out, fails, events]: [unknown[], Error[], string[]] = [[], [], []]
  const counters = new CounterMap()
  const failed = Promise.withResolvers<Error>()
  const log: Log = { ...quiet, info: (event) => events.push(event), warn: (event) => events.push(event) }
  const { thread, value } = await Thread.start<Deed, unknown>({
    name: 'test',
    entry: ENTRY,
    config,
    log,
    counters,
    hungAfterSeconds,
    onOut: (o) => out.push(o),
    onFail: (why) => {
      fails.push(why)
      failed.resolve(why)
    },
  })
  running.push(thread)
  return { thread, value, out, fails, failed: failed.promise, counters, events }
}

const running: Thread<Deed, unknown>[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map((t) => t.stop()))
})

const nameOf = (e: unknown): unknown => (e instanceof Error ? e.name : e)
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
