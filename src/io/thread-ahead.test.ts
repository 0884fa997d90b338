import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { quiet } from '#ntm-lib/ports/log.ts'
import type { Deed } from '#test/support/thread-program.ts'
import { Thread } from './thread.ts'
import { moduleBeside, ThreadAhead } from './thread-ahead.ts'

const ENTRY = new URL('../../test/support/thread-program.ts', import.meta.url)
const NOWHERE = new URL('../../test/support/no-such-program.ts', import.meta.url)

test('a thread begins with the program that was loaded ahead, and what the hint said is loaded', async () => {
  const ahead = new ThreadAhead('test', ENTRY, 'bridge')
  const { thread, value } = await start(ENTRY, ahead)
  expect(value).toEqual({ config: { some: 'settings' }, loaded: 'bridge' })
  expect(await thread.ask({ deed: 'echo', value: 1 })).toBe(1)
  const before = thread.beat
  while (thread.beat === before) await pause(20)
})

test('without a hint nothing is loaded ahead but the program', async () => {
  const { value } = await start(ENTRY, new ThreadAhead('test', ENTRY))
  expect(value).toEqual({ config: { some: 'settings' } })
})

test('one that ended before it was needed is made again', async () => {
  const ahead = new ThreadAhead('test', NOWHERE)
  while (ahead.isWhole) await pause(10)
  const { thread } = await start(ENTRY, ahead)
  expect(await thread.ask({ deed: 'echo', value: 2 })).toBe(2)
})

test('what is wrong with a program is told by the start, whenever it was loaded', async () => {
  await expect(start(NOWHERE, new ThreadAhead('test', NOWHERE))).rejects.toThrow('no-such-program')
  const ahead = new ThreadAhead('test', NOWHERE)
  while (ahead.isWhole) await pause(10)
  await expect(start(NOWHERE, ahead)).rejects.toThrow('no-such-program')
})

test('one that nobody takes keeps no process alive', async () => {
  const module = new URL('thread-ahead.ts', import.meta.url).href
  const program = `import { ThreadAhead } from '${module}'; new ThreadAhead('test', new URL('${ENTRY.href}')); console.log('made')`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], {
    timeout: 30_000,
  })
  expect(stdout).toBe('made\n')
})

test('a worker is found beside its starter, with types or stripped of them', () => {
  expect(moduleBeside('file:///app/src/cli/compose/host.ts', '../worker/packet').href).toBe(
    'file:///app/src/cli/worker/packet.ts',
  )
  expect(moduleBeside('file:///app/src/cli/compose/host.js', '../worker/packet').href).toBe(
    'file:///app/src/cli/worker/packet.js',
  )
})

async function start(entry: URL, ahead: ThreadAhead): Promise<{ thread: Thread<Deed, unknown>; value: unknown }> {
  const started = await Thread.start<Deed, unknown>({
    name: 'test',
    entry,
    ahead,
    config: { some: 'settings' },
    log: quiet,
    counters: new CounterMap(),
    onOut: () => {},
    onFail: () => {},
  })
  onTestFinished(() => started.thread.stop())
  return started
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
