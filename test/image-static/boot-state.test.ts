import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { describe, expect, onTestFinished, test } from 'vitest'
import { keyValues } from '#lab/vm/ssh.ts'

// The boot loader's memory as its two sides know it: GRUB and U-Boot by their formats, Linux by /usr/lib/ntm/boot-state.

const ROOT = join(import.meta.dirname, '../..')
const TOOL = join(ROOT, 'board/common/overlay/usr/lib/ntm/boot-state')
const BOARDS = { x86_64: [65_536, 589_824], 'rpi-arm64': [0, 524_288] } as const
type Board = keyof typeof BOARDS

describe.each(Object.keys(BOARDS) as Board[])('%s', (board) => {
  const [one, two] = BOARDS[board]

  test('fresh: A first, both with all their starts, both copies whole', () => {
    expect(state(board).show()).toEqual({
      ORDER: 'A B',
      A_LEFT: '3',
      B_LEFT: '3',
      BUTTON: '0',
      TRIAL: 'none',
      one: 'whole',
      two: 'whole',
    })
  })

  test('what RAUC does in an installation, and the verdict after it', () => {
    const box = state(board)
    box.ask('set-state', 'B', 'bad')
    expect(box.ask('get-state', 'B')).toBe('bad')
    expect(box.ask('get-primary')).toBe('A')
    box.ask('set-primary', 'B')
    expect(box.show()).toMatchObject({ ORDER: 'B A', A_LEFT: '3', B_LEFT: '3', TRIAL: 'B' })
    expect(box.ask('get-primary')).toBe('B')
    box.ask('set-state', 'A', 'good')
    expect(box.ask('get-trial')).toBe('B')
    box.ask('set-state', 'B', 'bad')
    expect(box.ask('get-primary')).toBe('A')
    box.ask('set-state', 'B', 'good')
    expect(box.ask('get-state', 'B')).toBe('good')
    expect(box.ask('get-trial')).toBe('none')
  })

  test('an installed slot is on trial until it is found good, something else is put there, or somebody tells its end', () => {
    const installed = (running: 'A' | 'B') => {
      const box = state(board)
      box.run('set-primary', 'B')
      box.runs(running)
      return box
    }
    const trial = (box: ReturnType<typeof installed>, ...args: string[]): string => {
      box.ask(...args)
      return box.ask('get-trial')
    }
    // In the slot itself: found bad, the other one is still to learn why it runs again.
    expect(trial(installed('B'), 'repair')).toBe('B')
    expect(trial(installed('B'), 'set-state', 'A', 'bad')).toBe('B')
    expect(trial(installed('B'), 'set-state', 'B', 'bad')).toBe('B')
    expect(trial(installed('B'), 'set-state', 'B', 'good')).toBe('none')
    expect(trial(installed('B'), 'set-primary', 'B')).toBe('none')
    // In the other one: it waits for its first start, or has failed.
    expect(trial(installed('A'), 'set-state', 'A', 'good')).toBe('B')
    expect(trial(installed('A'), 'set-state', 'B', 'bad')).toBe('none')
    expect(trial(installed('A'), 'end-trial')).toBe('none')
    expect(trial(installed('A'), 'set-primary', 'A')).toBe('none')
  })

  test('a copy torn by a power cut: the other one counts, and is copied back', () => {
    for (const [torn, name] of [
      [one, 'one'],
      [two, 'two'],
    ] as const) {
      const box = state(board)
      box.ask('set-primary', 'B')
      box.damage(torn)
      expect(box.show()).toMatchObject({ ORDER: 'B A', [name]: 'torn' })
      box.ask('repair')
      expect(box.show()).toMatchObject({ ORDER: 'B A', one: 'whole', two: 'whole' })
    }
  })

  test('cut between the two writes: the first copy is the newer one', () => {
    const box = state(board)
    const old = box.bytes(two)
    box.ask('set-primary', 'B')
    box.write(two, old)
    expect(box.show()).toMatchObject({ ORDER: 'B A', one: 'whole', two: 'whole' })
  })

  test('blank, or not there: a box starts all the same', () => {
    const box = state(board)
    box.damage(one)
    box.damage(two)
    expect(box.show()).toMatchObject({ ORDER: 'A B', A_LEFT: '3', B_LEFT: '3' })
    expect(box.ask('get-primary')).toBe('A')
    rmSync(box.file)
    expect(box.ask('get-primary')).toBe('A')
  })

  test('rubbish between whole walls is the default, word by word', () => {
    const box = state(board)
    box.words({ ORDER: 'Q', A_LEFT: '9', B_LEFT: '1' })
    expect(box.show()).toMatchObject({ ORDER: 'A B', A_LEFT: '3', B_LEFT: '1', one: 'whole' })
  })

  test('nothing is written that is so already', () => {
    const box = state(board)
    const before = readFileSync(box.file)
    box.ask('set-state', 'A', 'good')
    box.ask('repair')
    expect(readFileSync(box.file).equals(before)).toBe(true)
  })

  test('words it does not know are refused', () => {
    const box = state(board)
    for (const args of [[], ['set-primary', 'C'], ['set-state', 'A', 'fine'], ['boot']])
      expect(box.run(...args).status).toBe(2)
  })
})

test('U-Boot reads what Linux writes: CRC-32, little endian, of the 508 bytes behind it; the button is kept', () => {
  const box = state('rpi-arm64')
  box.words({ ORDER: 'A B', A_LEFT: '2', B_LEFT: '3', BUTTON: '1' })
  box.ask('set-primary', 'B')
  const block = box.bytes(0)
  expect(block.readUInt32LE(0)).toBe(crc32(block.subarray(4)))
  expect(block.subarray(4).toString().split('\0').filter(Boolean).sort()).toEqual([
    'A_LEFT=2',
    'BUTTON=1',
    'B_LEFT=3',
    'ORDER=B A',
    'TRIAL=B',
  ])
})

test('GRUB reads what Linux writes, and its files lie where Linux looks', () => {
  const box = state('x86_64')
  box.ask('set-primary', 'B')
  expect(box.bytes(65_536).toString()).toMatch(/^# GRUB Environment Block\nORDER=B A\nA_LEFT=3\nB_LEFT=3\nTRIAL=B\n#+$/)
  // FAT12, by the numbers in its first sector: where the clusters of both directory entries are.
  const disk = readFileSync(box.file)
  const [sector, cluster, reserved, fats] = [
    disk.readUInt16LE(11),
    disk.readUInt8(13),
    disk.readUInt16LE(14),
    disk.readUInt8(16),
  ]
  const [roots, perFat] = [disk.readUInt16LE(17), disk.readUInt16LE(22)]
  const root = (reserved + fats * perFat) * sector
  const first = root + roots * 32
  const entries = [1, 2].map((i) => disk.subarray(root + i * 32, root + (i + 1) * 32))
  expect(entries.map((e) => e.toString('latin1', 0, 11).trim())).toEqual(['ENV1', 'ENV2'])
  expect(entries.map((e) => first + (e.readUInt16LE(26) - 2) * cluster * sector)).toEqual([65_536, 589_824])
  expect(entries.map((e) => e.readUInt32LE(28))).toEqual([512, 512])
})

test('grub.cfg names partitions and consoles as the layout has them', () => {
  const layout = JSON.parse(readFileSync(join(ROOT, 'board/layout.json'), 'utf8'))
  const { partitions, consoles, kernelFile } = layout.boards.x86_64
  const grub = readFileSync(join(ROOT, 'board/x86_64/grub.cfg'), 'utf8')
  const number = (name: string): number => 1 + partitions.findIndex((p: { name: string }) => p.name === name)
  expect(grub).toContain(`set state="$disk,gpt${number('state')}"`)
  expect(grub).toContain(`set kernel="$disk,gpt${number('kernelA')}"; else set kernel="$disk,gpt${number('kernelB')}"`)
  expect(grub).toContain(`"${consoles.map((c: string) => `console=${c}`).join(' ')}"`)
  expect(grub).toContain(`linux ($kernel)/${kernelFile} `)
  expect(grub.match(/set A_LEFT=(\d)$/gm)).toContain(`set A_LEFT=${layout.tries}`)
})

function state(board: Board) {
  const dir = mkdtempSync(join(tmpdir(), 'ntm-state-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const file = join(dir, 'state')
  execFileSync('sh', [join(ROOT, 'board/common/make-state.sh'), board, file])
  const cmdline = join(dir, 'cmdline')
  const runs = (slot: 'A' | 'B'): void => writeFileSync(cmdline, `quiet ntm.slot=${slot}\n`)
  runs('A')
  const env = { ...process.env, NTM_STATE: file, NTM_BOARD: board, NTM_RUN: dir, NTM_CMDLINE: cmdline }
  const run = (...args: string[]) => spawnSync('sh', [TOOL, ...args], { env, encoding: 'utf8' })
  const ask = (...args: string[]): string => {
    const { status, stdout, stderr } = run(...args)
    expect(status, stderr).toBe(0)
    return stdout.trim()
  }
  const bytes = (at: number): Buffer => Buffer.from(readFileSync(file).subarray(at, at + 512))
  const write = (at: number, block: Uint8Array): void => {
    const disk = openSync(file, 'r+')
    writeSync(disk, block, 0, block.length, at)
    closeSync(disk)
  }
  return {
    file,
    run,
    runs,
    ask,
    bytes,
    write,
    show: () => keyValues(ask('show')),
    damage: (at: number) => write(at, Buffer.alloc(512, 0xa5)),
    /** Both copies as the loader writes them. */
    words(words: Record<string, string>): void {
      const lines = Object.entries(words).map(([k, v]) => `${k}=${v}`)
      const block = Buffer.alloc(512, board === 'x86_64' ? '#' : 0)
      if (board === 'x86_64') block.write(`# GRUB Environment Block\n${lines.join('\n')}\n`)
      else {
        block.write(`${lines.join('\0')}\0\0`, 4)
        block.writeUInt32LE(crc32(block.subarray(4)), 0)
      }
      for (const at of BOARDS[board]) write(at, block)
    },
  }
}
