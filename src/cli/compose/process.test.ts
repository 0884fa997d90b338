import { expect, test } from 'vitest'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { LogFields } from '#ntm-lib/ports/log.ts'
import { runRole, Stopping, tellCounters, Undo } from './process.ts'

/** A log that remembers its events. */
function ear() {
  const events: string[] = []
  const note = (event: string, _fields?: LogFields): void => void events.push(event)
  return { events, log: { debug: note, info: note, warn: note, error: note } }
}
const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5))

test('steps are undone newest first, each once, and one that fails does not keep the others', async () => {
  const { events, log } = ear()
  const undo = new Undo(log)
  const done: number[] = []
  undo.add(() => void done.push(1))
  undo.add(() => {
    throw new Error('gone already')
  })
  undo.add(async () => {
    await soon()
    done.push(3)
  })
  await undo.run()
  await undo.run()
  expect([done, events]).toEqual([[3, 1], ['role.undo-failed']])
})

test('a role that is told to stop in the middle of its start ends it at the next step, then undoes what there is', async () => {
  const { events, log } = ear()
  const story: string[] = []
  const code = await runRole('tt', log, async (undo) => {
    undo.add(() => void story.push('first undone'))
    process.emit('SIGTERM')
    await undo.stopping
    await soon()
    story.push('half way')
    // Set up what is then never used: its undoing is kept all the same.
    expect(() => undo.add(() => void story.push('second undone'))).toThrow(Stopping)
    throw new Stopping()
  })
  expect(code).toBe(0)
  expect(story).toEqual(['half way', 'second undone', 'first undone'])
  expect(events).toEqual(['role.stopped'])
})

test('a start that fails leaves nothing and says why by throwing; what breaks later ends the role with 1', async () => {
  const { events, log } = ear()
  const done: number[] = []
  const failing = runRole('tt', log, async (undo) => {
    undo.add(() => void done.push(1))
    await soon()
    throw new Error('no such interface')
  })
  await expect(failing).rejects.toThrow('no such interface')
  expect([done, events]).toEqual([[1], ['role.stopped']])
  const code = await runRole('tt', log, async (undo, fail) => {
    undo.add(() => fail(new Error('while being undone, which hurts nobody')))
    setTimeout(() => fail(new Error('the port went away')), 5)
  })
  expect(code).toBe(1)
  expect(events.filter((e) => e === 'role.failed').length).toBe(1)
})

test('counters are told on SIGUSR1 with what packet workers counted until then, and how full the tables are', async () => {
  const { log } = ear()
  const told: LogFields[] = []
  const counters = new CounterMap()
  counters.count('role.own')
  tellCounters(
    { ...log, info: (_, fields) => void told.push(fields ?? {}) },
    counters,
    async () => ({ paths: 3 }),
    async () => counters.count('port.udp.in', 7),
  )
  process.emit('SIGUSR1')
  while (told.length === 0) await soon()
  expect(told).toEqual([{ 'role.own': 1, 'port.udp.in': 7, 'table.paths': 3 }])
  process.removeAllListeners('SIGUSR1')
})

test('a packet worker that has ended does not keep the role from living', async () => {
  const { events, log } = ear()
  const gone = async (): Promise<void> => {
    throw new Error('it has ended')
  }
  tellCounters(log, new CounterMap(), () => ({}), gone)
  process.emit('SIGUSR1')
  while (events.length === 0) await soon()
  expect(events).toEqual(['role.no-counters'])
  process.removeAllListeners('SIGUSR1')
})
