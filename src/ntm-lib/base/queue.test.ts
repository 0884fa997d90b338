import fc from 'fast-check'
import { expect, test } from 'vitest'
import { hex, unhex } from './hex.ts'
import { Queue } from './queue.ts'

test('a queue gives back what it took, in order, and counts what it refused', () => {
  fc.assert(
    fc.property(
      fc.array(fc.option(fc.nat(), { nil: undefined }), { maxLength: 400 }),
      fc.integer({ min: 1, max: 100 }),
      (ops, limit) => {
        const queue = new Queue<number>(limit)
        const model: number[] = []
        let refused = 0
        for (const op of ops) {
          if (op === undefined) expect(queue.shift()).toBe(model.shift())
          else if (model.length < limit) {
            expect(queue.push(op)).toBe(true)
            model.push(op)
          } else {
            expect(queue.push(op)).toBe(false)
            refused++
          }
          expect([queue.size, queue.dropped]).toEqual([model.length, refused])
        }
      },
    ),
  )
})

test('hex reads back, white space ignored, and says null to what is none', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (b) => {
      expect(unhex(hex(b))).toEqual(Uint8Array.from(b))
    }),
  )
  expect(unhex('00 ff\n7f')).toEqual(Uint8Array.of(0, 255, 127))
  for (const text of ['0', 'zz', '0x00', '00-']) expect(unhex(text)).toBeNull()
})
