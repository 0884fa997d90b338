import { expect, test } from 'vitest'
import { machineMicros, processMicros, residentMib, since } from './cpu.ts'

test('the machine’s time is what was not idle', () => {
  //            user nice system idle iowait irq softirq steal guest
  const stat = 'cpu  100 2 30 5000 400 5 60 70 8 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n'
  expect(machineMicros(stat)).toBe((100 + 2 + 30 + 5 + 60) * 10_000)
})

test('a process that works spends time and has memory', () => {
  const before = processMicros(process.pid)
  let sum = 0
  while (processMicros(process.pid) === before) for (let i = 0; i < 1e5; i++) sum += i
  expect(sum).toBeGreaterThan(0)
  expect(residentMib(process.pid)).toBeGreaterThan(10)
})

test('a difference is taken box by box', () => {
  const before = { boxes: { a: 10, b: 20 }, machine: 100 }
  expect(since(before, { boxes: { a: 15, b: 40 }, machine: 300 })).toEqual({ boxes: { a: 5, b: 20 }, machine: 200 })
})
