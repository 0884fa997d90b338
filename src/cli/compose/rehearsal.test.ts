import { expect, test } from 'vitest'
import { Rehearsal } from './rehearsal.ts'

test('everybody registers, and each time two names are answered, one tunnel goes straight and one through the relay', () => {
  const rehearsal = new Rehearsal()
  expect(rehearsal.isReady).toBe(false)
  for (const _ of rehearsal.opening());
  expect(rehearsal.isReady).toBe(true)
  for (let times = 1; times <= 3; times++) {
    for (const _ of rehearsal.acts());
    expect(rehearsal.answered).toBe(2 * times)
    expect(rehearsal.relayed).toBeGreaterThanOrEqual(2 * times)
  }
})
