import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const ALLOCATION = join(import.meta.dirname, '../support/plane-allocation.ts')
const MEMORY = join(import.meta.dirname, '../support/plane-memory.ts')
/** A young generation that no run fills: nothing is collected, so that garbage counts as growth. */
const FLAGS = ['--expose-gc', '--min-semi-space-size=512', '--max-semi-space-size=512']

type Grown = { readonly name: string; readonly slots: number; readonly perDatagram: number }

test('a million datagrams of each kind, sealed and opened, allocate nothing', () => {
  for (const { name, slots, perDatagram } of run<Grown[]>(FLAGS, ALLOCATION, '1000000')) {
    expect(slots, name).toBeGreaterThan(20_000)
    expect(perDatagram, `bytes of heap per datagram, ${name}`).toBeLessThan(2)
    expect(perDatagram, 'nothing was collected meanwhile').toBeGreaterThanOrEqual(0)
  }
})

test('the count sees one small object per packet', () => {
  const [plain] = run<Grown[]>(FLAGS, ALLOCATION, '50000', 'leak')
  expect(plain?.perDatagram).toBeGreaterThan(16)
})

test('10,000 tunnels with two epochs each take less than 16 MB of JavaScript', () => {
  const { rows, heap } = run<{ rows: number; heap: number }>(['--expose-gc'], MEMORY, '10000')
  expect(rows).toBe(10_000)
  expect(heap).toBeLessThan(16e6)
})

function run<T>(flags: readonly string[], ...args: readonly string[]): T {
  return JSON.parse(execFileSync(process.execPath, [...flags, ...args], { encoding: 'utf8', timeout: 110_000 })) as T
}
