import { expect, test } from 'vitest'
import { genimageConfig } from './disk.ts'
import { boardOf, partitionNumber, partitionUuid, readLayout } from './layout.ts'

const layout = readLayout()

test.each(Object.keys(layout.boards))(
  '%s: partitions follow each other without a gap, each with a GUID of its own',
  (name) => {
    const board = boardOf(layout, name)
    const text = genimageConfig(board)
    const places = [...text.matchAll(/offset = (\d+)M\n\s+size = (\d+)M/g)].map(([, at, mib]) => ({
      at: Number(at),
      mib: Number(mib),
    }))
    expect(places).toHaveLength(board.partitions.length)
    places.forEach(({ at }, i) => {
      const before = places[i - 1]
      expect(at).toBe(before === undefined ? 1 : before.at + before.mib)
    })
    const uuids = board.partitions.map((partition) => partitionUuid(board, partition.name))
    expect(new Set([...uuids, board.diskUuid]).size).toBe(board.partitions.length + 1)
    for (const uuid of uuids) expect(uuid).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  },
)

test.each(Object.keys(layout.boards))('%s: both slots are alike, and data is last, for it grows', (name) => {
  const { partitions } = boardOf(layout, name)
  const size = (partition: string) => partitions.find((one) => one.name === partition)?.mib
  expect(size('rootA')).toBe(size('rootB'))
  expect(size('kernelA')).toBe(size('kernelB'))
  expect(partitions.at(-1)).toMatchObject({ name: 'data', grows: true })
  // A root twice the size of the largest image allowed leaves room for years of updates.
  expect((size('rootA') ?? 0) * 1_048_576).toBeGreaterThan(layout.squashfsMegabytes * 1e6 * 1.5)
})

test("the PC's boot loader finds its partitions by number, where the layout has them", () => {
  const board = boardOf(layout, 'x86_64')
  expect(['state', 'kernelA', 'kernelB'].map((name) => partitionNumber(board, name))).toEqual([3, 4, 5])
})

test('an unknown board is refused, and those there are get named', () => {
  expect(() => boardOf(layout, 'amiga')).toThrow('there is no board "amiga"; there are: x86_64, rpi-arm64')
  expect(() => boardOf(layout, '')).toThrow('which board? one of: x86_64, rpi-arm64')
  expect(() => boardOf(layout, 'toString')).toThrow('there is no board')
})
