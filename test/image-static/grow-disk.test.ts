import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import { makeDisk, type Part, readTable } from './gpt.ts'

const TOOL = join(ROOT, 'board/common/overlay/usr/lib/ntm/grow-disk')
const dir = mkdtempSync(join(tmpdir(), 'ntm-grow-'))
afterAll(() => rmSync(dir, { recursive: true }))

const SMALL = 40 * 2048
const LARGE = 72 * 2048
const PARTS: readonly Part[] = [
  { name: 'boot', from: 2048, to: 10_239 },
  { name: 'rootA', from: 10_240, to: 43_007 },
  { name: 'data', from: 43_008, to: 75_775 },
]
/** Whole MiBs, and 33 sectors behind for the backup. */
const goal = (sectors: number): number => Math.floor((sectors - 33) / 2048) * 2048 - 1
const grown = (sectors: number): readonly Part[] =>
  PARTS.map((p) => (p.name === 'data' ? { ...p, to: goal(sectors) } : p))

describe('grow-disk', () => {
  test('the last partition fills the disk, the backup lies at its end, the others stay', () => {
    const disk = enlarged()
    expect(grow(disk).status).toBe(0)
    const table = readTable(disk, 1)
    expect(table?.parts).toEqual(grown(LARGE))
    expect(table?.other).toBe(LARGE - 1)
    expect(table?.usable[1]).toBe(LARGE - 34)
    expect(readTable(disk, LARGE - 1)?.parts).toEqual(grown(LARGE))
    expect(readTable(disk, LARGE - 1)?.other).toBe(1)
  })

  test('nothing is written to a disk that is full, and again when it grows once more', () => {
    const disk = enlarged()
    grow(disk)
    const before = readFileSync(disk)
    expect(grow(disk).status).toBe(3)
    expect(readFileSync(disk).equals(before)).toBe(true)
    truncateSync(disk, 2 * LARGE * 512)
    expect(grow(disk).status).toBe(0)
    expect(readTable(disk, 1)?.parts).toEqual(grown(2 * LARGE))
    // The entries changed places with those of the table before.
    expect(readTable(disk, 1)?.entries).toBe(2)
  })

  test.each(['sh', 'busybox sh'])('works with %s', (shell) => {
    const disk = enlarged()
    expect(grow(disk, {}, shell.split(' ')).status).toBe(0)
    expect(readTable(disk, 1)?.parts).toEqual(grown(LARGE))
  })

  // Four writes: backup's entries, backup's header, entries, header. Only the last one, a single sector, may change what is in force.
  const cuts = [0, 1, 2, 3, 4].flatMap((writes) => [`${writes}`, `${writes} and half of the next`])
  test.each(cuts)(
    'power cut after %s of its writes: the old table or the new one, and the next start finishes it',
    (cut) => {
      const disk = enlarged()
      const writes = Number(cut.split(' ')[0])
      grow(disk, {
        CUT_AFTER: String(writes),
        CUT_HALF: cut.includes('half') ? '1' : '',
        REAL_DD: which('dd'),
        PATH: `${brokenDd()}:${process.env['PATH']}`,
      })
      const after = readTable(disk, 1)
      expect(after).not.toBeNull()
      expect(after?.parts).toEqual(writes < 4 ? PARTS : grown(LARGE))
      expect(grow(disk).status).toBe(writes < 4 ? 0 : 3)
      expect(readTable(disk, 1)?.parts).toEqual(grown(LARGE))
      expect(readTable(disk, LARGE - 1)?.parts).toEqual(grown(LARGE))
    },
  )

  test('refuses what it does not know, and writes nothing', () => {
    const none = enlarged()
    writeFileSync(none, Buffer.alloc(LARGE * 512))
    expect(grow(none).stderr).toContain('has no GPT')

    const torn = enlarged()
    const bytes = readFileSync(torn)
    bytes[2 * 512 + 40] = 7
    writeFileSync(torn, bytes)
    expect(grow(torn)).toMatchObject({ status: 1, stderr: expect.stringContaining('damaged') })
    expect(readFileSync(torn).equals(bytes)).toBe(true)

    const other = join(dir, 'other.img')
    makeDisk(other, SMALL, [...PARTS.slice(0, 2), { name: 'mine', from: 43_008, to: 75_775 }])
    truncateSync(other, LARGE * 512)
    expect(grow(other).stderr).toContain('its last partition is "mine", not data')
  })
})

let disks = 0
function enlarged(): string {
  const disk = join(dir, `disk${++disks}.img`)
  makeDisk(disk, SMALL, PARTS)
  truncateSync(disk, LARGE * 512)
  expect(readTable(disk, 1)?.parts).toEqual(PARTS)
  return disk
}

function grow(disk: string, env: Readonly<Record<string, string>> = {}, shell: readonly string[] = ['sh']) {
  const [command = '', ...args] = shell
  return spawnSync(command, [...args, TOOL, disk], { encoding: 'utf8', env: { ...process.env, TMPDIR: dir, ...env } })
}

const which = (name: string): string =>
  spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim()

/** A `dd` whose disk loses power: after CUT_AFTER writes to it nothing arrives any more; with CUT_HALF of the next one the first half, if it is more than a sector. */
function brokenDd(): string {
  const bin = mkdtempSync(join(dir, 'bin-'))
  const count = join(bin, 'count')
  writeFileSync(count, '0')
  writeFileSync(
    join(bin, 'dd'),
    `#!/bin/sh
case "$*" in *fsync*) ;; *) exec "$REAL_DD" "$@" ;; esac
n=$(cat ${count})
echo $((n + 1)) >${count}
[ "$n" -ge "$CUT_AFTER" ] || exec "$REAL_DD" "$@"
if [ "$n" = "$CUT_AFTER" ] && [ -n "$CUT_HALF" ]; then
  for word in "$@"; do case $word in if=*) size=$(wc -c <"\${word#if=}") ;; esac; done
  [ "$size" -le 512 ] || "$REAL_DD" "$@" count=$((size / 1024)) 2>/dev/null
fi
exit 0
`,
  )
  chmodSync(join(bin, 'dd'), 0o755)
  return bin
}
