import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { REPOSITORY, readLayout } from '../../image/layout.ts'

// board/rpi-arm64/boot.cmd, U-Boot's script, is also a shell script: here it runs in one whose commands are U-Boot's, as far as it uses them.
// What stands in `state` and in the two kernel partitions is given; what was written there, and what was started, is told.

type Copy = 'torn' | Readonly<Record<string, string>>
type Card = {
  readonly copies?: readonly [Copy, Copy]
  readonly broken?: string
  readonly pins?: Readonly<Record<number, 0 | 1>>
}

const OUT = 'has no starts left: it did not come up, or not do its work'

describe('the slot is chosen by the boot state', () => {
  const choices = ['A B', 'B A'].flatMap((order) =>
    [0, 1, 2, 3].flatMap((a) => [0, 1, 2, 3].map((b) => [order, a, b] as const)),
  )

  test.each(choices)('order %s, left A %i, B %i', (order, a, b) => {
    const had = { ORDER: order, A_LEFT: `${a}`, B_LEFT: `${b}`, BUTTON: '0', TRIAL: 'none' }
    const told = boot({ copies: [had, had] })
    const left: Record<string, number> = a + b === 0 ? { A: 3, B: 3 } : { A: a, B: b }
    const slot = order.split(' ').find((name) => (left[name] ?? 0) > 0) ?? ''
    left[slot] = (left[slot] ?? 0) - 1
    expect(told.started).toBe(slot)
    expect(told.written).toEqual({
      ORDER: order,
      A_LEFT: `${left['A']}`,
      B_LEFT: `${left['B']}`,
      BUTTON: '0',
      TRIAL: 'none',
    })
  })

  test('the first copy counts while it is whole, then the second, then nothing is known', () => {
    const [one, two] = [
      { ORDER: 'A B', A_LEFT: '0', B_LEFT: '2', BUTTON: '0', TRIAL: 'none' },
      { ORDER: 'A B', A_LEFT: '1', B_LEFT: '3', BUTTON: '0', TRIAL: 'none' },
    ]
    expect(boot({ copies: [one, two] }).written).toMatchObject({ A_LEFT: '0', B_LEFT: '1' })
    expect(boot({ copies: ['torn', two] }).written).toMatchObject({ A_LEFT: '0', B_LEFT: '3' })
    expect(boot({ copies: ['torn', 'torn'] }).written).toEqual({
      ORDER: 'A B',
      A_LEFT: '2',
      B_LEFT: '3',
      BUTTON: '0',
      TRIAL: 'none',
    })
  })

  test('the word for a slot on trial is kept', () => {
    const had = { ...FRESH, ORDER: 'B A', TRIAL: 'B' }
    expect(boot({ copies: [had, had] }).written).toEqual({ ...had, B_LEFT: '2' })
    expect(boot({ copies: ['torn', had] }).written).toEqual({ ...had, B_LEFT: '2' })
    expect(boot({ copies: [FRESH, had] }).written).toEqual({ ...FRESH, A_LEFT: '2' })
  })

  test('both copies are written before the kernel starts, the first one first, where boot-state looks for them', () => {
    const { lines } = boot({ copies: ['torn', 'torn'] })
    expect(lines.filter((line) => /^(write|start)/.test(line))).toEqual(['write 20800', 'write 20c00', 'start A'])
  })

  test.each([
    ['nonsense in a counter counts as used up', { ORDER: 'A B', A_LEFT: 'x y', B_LEFT: '3' }, 'B'],
    ['an order that names something else is the usual one', { ORDER: 'C', A_LEFT: '3', B_LEFT: '3' }, 'A'],
    ['a state without counters gives both their starts back', { ORDER: 'B A' }, 'B'],
  ] as const)('%s', (_, had, slot) => {
    expect(boot({ copies: [had, had] }).started).toBe(slot)
  })
})

describe('the console says which slot starts, and why', () => {
  const told = (words: Readonly<Record<string, string>>) => {
    const state = { ...FRESH, ...words }
    return boot({ copies: [state, state] }).lines.filter((line) => line.startsWith('ntm-boot: '))
  }

  test.each([
    [{}, ['starting slot A (starts left: A 2, B 3)']],
    [
      { A_LEFT: '1' },
      ['the last start of slot A ended before it was found good', 'starting slot A (starts left: A 0, B 3)'],
    ],
    [{ A_LEFT: '0' }, [`slot A ${OUT}`, 'starting slot B (starts left: A 0, B 2)']],
    [{ ORDER: 'B A', A_LEFT: '0' }, ['starting slot B (starts left: A 0, B 2)']],
    [
      { A_LEFT: '0', B_LEFT: '0' },
      [`slot A ${OUT}`, 'no slot has starts left: both get theirs back', 'starting slot A (starts left: A 2, B 3)'],
    ],
  ])('%o', (words, lines) => {
    expect(told(words)).toEqual(lines.map((line) => `ntm-boot: ${line}`))
  })
})

describe('what does not start ends in a reset', () => {
  test.each(['vmlinuz.gz', 'initrd.img', 'checksum'])('%s', (broken) => {
    const told = boot({ copies: [FRESH, FRESH], broken })
    expect(told.started).toBe(null)
    expect(told.lines.at(-1)).toBe('reset')
    expect(told.written).toMatchObject({ A_LEFT: '2' })
  })

  test('a kernel partition without a checksum is started unchecked', () => {
    expect(boot({ copies: [FRESH, FRESH], broken: 'initrd.crc' }).started).toBe('A')
  })
})

describe('the reset pins', () => {
  const button = (had: string, pins: Card['pins']) => {
    const state = { ...FRESH, BUTTON: had }
    const { lines, written } = boot({ copies: [state, state], ...(pins && { pins }) })
    return [lines.some((line) => line.includes('ntm.reset=button')), written['BUTTON']]
  }

  test('joined: reset, once, until they have been seen open', () => {
    const joined = { 22: 1, 27: 0 } as const
    expect(button('0', joined)).toEqual([true, '1'])
    expect(button('1', joined)).toEqual([false, '1'])
    expect(button('1', { 22: 0, 27: 0 })).toEqual([false, '0'])
  })

  test('a U-Boot that cannot read pins answers 1 for every pin: no reset', () => {
    expect(button('0', { 22: 1, 27: 1 })).toEqual([false, '0'])
  })
})

test('the kernel is told the slot and the consoles of the layout, the last one for its own messages', () => {
  const line = boot({ copies: [FRESH, FRESH] }).lines.find((told) => told.startsWith('arguments ')) ?? ''
  const consoles = readLayout().boards['rpi-arm64']?.consoles ?? []
  expect(consoles.length).toBeGreaterThan(1)
  expect(line).toContain(consoles.map((name) => `console=${name}`).join(' '))
  expect(line).toMatch(/ panic=10 quiet ntm\.slot=A *$/)
})

/** Runs the script on a card and tells what it did. Partition `state` begins at sector 0x20800, as on a card of 64 MiB boot partition. */
function boot(card: Card) {
  const { tries, boards } = readLayout()
  const consoles = (boards['rpi-arm64']?.consoles ?? []).map((name) => `console=${name}`).join(' ')
  const script = readFileSync(join(REPOSITORY, 'board/rpi-arm64/boot.cmd'), 'utf8')
    .replaceAll('@CONSOLES@', consoles)
    .replaceAll('@TRIES@', String(tries))
  const copies = (card.copies ?? ['torn', 'torn']).map((copy, i) => {
    const text =
      copy === 'torn'
        ? 'return 1'
        : Object.entries(copy)
            .map(([name, value]) => `${name}='${value}'`)
            .join('; ') || ':'
    return `copy${i}() { ${text}; }`
  })
  const pins = Object.entries(card.pins ?? {}).map(([pin, level]) => `pin${pin}=${level}`)
  const given = [...copies, ...pins, `broken=${card.broken ?? ''}`].join('\n')
  const out = execFileSync('bash', ['-c', `${given}\n${U_BOOT}\n${script}`], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines = out.trim().split('\n')
  const written = Object.fromEntries(
    lines
      .filter((line) => line.startsWith('export '))
      .flatMap((line) =>
        line
          .slice(7)
          .split('|')
          .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
      ),
  ) as Readonly<Record<string, string>>
  const started = /^start (.)$/m.exec(out)?.[1] ?? null
  return { lines, written, started }
}

const FRESH = { ORDER: 'A B', A_LEFT: '3', B_LEFT: '3', BUTTON: '0', TRIAL: 'none' }

// Partition numbers are letters here, for the telling. U-Boot's numbers are hexadecimal.
const U_BOOT = `
devtype=mmc devnum=0 fdt_addr=8000000
setenv() { local name=$1; shift; if [ $# = 0 ]; then unset "$name"; else printf -v "$name" %s "$*"; fi; }
setexpr() { printf -v "$1" %x $((0x\${2#0x} $3 0x\${4#0x})); }
mmc() { case $1 in
  read) last=$3 ;;
  write) echo "write $3" ;;
esac; }
part() { case $1 in
  start) [ "$4" = state ] && printf -v "$5" %s 20800 ;;
  number) printf -v "$5" %s "\${4#kernel}" ;;
esac; }
env() { case "$1 $2" in
  'import -c') [ "$4" = 200 ] || exit 9; if [ "$last" = 20800 ]; then copy0; else copy1; fi ;;
  'import -t') return 1 ;;
  'export -c') [ "$3 $4" = '-s 200' ] || exit 9; shift 5; local all=; for name; do all="$all|$name=\${!name}"; done; echo "export \${all#|}" ;;
esac; }
gpio() { local level=pin$2; return "\${!level:-0}"; }
load() { [ "$broken" != "$4" ] && [ "$4" != local.env ] || return 1; filesize=1000; from=\${2#*:}; }
crc32() { :; }
cmp.b() { [ "$broken" != checksum ]; }
mw.b() { :; }
sleep() { :; }
booti() { echo "arguments $bootargs"; echo "start $from"; exit 0; }
reset() { echo reset; exit 0; }
`
