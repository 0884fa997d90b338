import fc from 'fast-check'
import { encode } from 'uqr'
import { expect, test } from 'vitest'
import { parseLink } from '#ntm-lib/addr/link.ts'
import { type BoxIdentity, boxText } from './box-text.ts'
import { type ConsoleFacts, consoleScreen } from './console-facts.ts'
import { QR_MOST_BYTES, qrRows } from './qr-blocks.ts'
import { COLUMNS, paint, ROWS, screenLines } from './screen.ts'

const links = ['52:54:00:00:00:01', '52:54:00:00:00:02'].flatMap((text) => parseLink(text) ?? [])
const NEW: BoxIdentity = {
  name: 'ntm-000002',
  version: '0.1.0+20261121T225100.g82f33fb1',
  links,
  node: null,
  publicKey: null,
}
const BARE: ConsoleFacts = {
  product: 'NTM box',
  identity: NEW,
  ...{ slot: {}, data: {}, wire: {}, config: {}, health: {}, update: {} },
  role: '',
  link: 'br0',
  addresses: [],
  cables: [
    ['net0', true],
    ['host0', null],
  ],
  status: null,
  member: '',
  clock: '2026-11-21 22:51 UTC',
}
/** Around a row of the code. */
const LIGHT = '\u001b[97;40m'
const PLAIN = '\u001b[0m'
const plain = (lines: readonly string[]): string =>
  `${lines
    .map((line) => (line.split(LIGHT)[0] ?? '').trimEnd())
    .join('\n')
    .trimEnd()}\n`

test('a new box: what it is, what is wrong, and its code beside it', () => {
  const facts = {
    ...BARE,
    slot: { slot: 'A', state: 'good', version: '0.1.0' },
    data: { medium: 'disk' },
    wire: { state: 'no-host-port', why: 'only one port' },
    config: { state: 'none', why: 'no configuration yet: the box bridges' },
  }
  const lines = screenLines(consoleScreen(facts))
  expect(plain(lines)).toBe(`NTM box
0.1.0+20261121T225100.g82f33fb1

  box     ntm-000002  no role yet
! address none yet  on br0
! wire    no host port  net0 up
          host0 missing
          only one port
  config  none yet
          no configuration yet: the
          box bridges
  slot    A is good
  clock   2026-11-21 22:51 UTC

Not in a network yet. Put ntm.toml
and token on a stick named NTMCONFIG.
`)
  expect(lines.filter((line) => line.includes(LIGHT))).toHaveLength(21)
})

test('a bridge at work: no code, and what it does', () => {
  const facts: ConsoleFacts = {
    ...BARE,
    role: 'bridge',
    member: 'plc-7.ntm.example',
    addresses: ['192.0.2.7/24', '2001:db8::7/64'],
    cables: [
      ['net0', true],
      ['host0', true],
    ],
    wire: { state: 'forwarding', host: 'host0', net: 'net0' },
    config: { state: 'ok', file: 'stick:ntm.toml', why: '' },
    slot: { slot: 'B', state: 'trial', why: 'waits for the tunnel' },
    update: { state: 'done', version: '0.2.0' },
    status: {
      name: 'plc-7.ntm.example',
      coordinator: { state: 'registered', at: ['192.0.2.1:4330'], lastError: null },
      hosts: [{}],
      paths: [
        { peer: 'desk.ntm.example', way: 'direct' },
        { peer: 'tt1.ntm.example', way: 'relay' },
      ],
    },
  }
  expect(screenLines(consoleScreen(facts))).toEqual(
    `NTM box 0.1.0+20261121T225100.g82f33fb1

  box     ntm-000002  bridge
  address 192.0.2.7/24  2001:db8::7/64
  wire    forwards frames  net0 up  host0 up
  network plc-7.ntm.example  registered  coordinator 192.0.2.1:4330
  hosts   1 behind this box
  paths   desk.ntm.example (direct)  tt1.ntm.example (relay)
  config  in force
! slot    B is on trial  waits for the tunnel
  update  done  0.2.0
  clock   2026-11-21 22:51 UTC`.split('\n'),
  )
})

test('what is wrong is marked: RAM, a refused configuration, a coordinator that does not answer, a dead program', () => {
  const facts: ConsoleFacts = {
    ...BARE,
    role: 'tt',
    member: 'tt1.ntm.example',
    data: { medium: 'ram', why: 'no data partition' },
    config: { state: 'refused', file: 'boot:ntm.toml', why: 'ntm.toml:3: tt.uplink: is missing. Add a string' },
    status: {
      name: 'tt1.ntm.example',
      coordinator: { state: 'down', at: ['192.0.2.1:4330'], lastError: 'does not answer' },
    },
  }
  const text = plain(screenLines(consoleScreen(facts)))
  expect(text).toContain('! data    works from RAM: what is new is lost with the power  no data partition\n')
  expect(text).toContain('! config  REFUSED, the last good one stays  boot:ntm.toml\n')
  expect(text).toContain(
    '! network tt1.ntm.example  not reachable  coordinator 192.0.2.1:4330\n          does not answer\n',
  )
  expect(plain(screenLines(consoleScreen({ ...facts, status: null })))).toContain(
    '! network the program is not running\n',
  )
  const failing = { medium: 'disk', why: 'its disk reports errors' }
  expect(plain(screenLines(consoleScreen({ ...facts, data: failing })))).toContain(
    '! data    works still, but  its disk reports errors\n',
  )
  expect(plain(screenLines(consoleScreen({ ...facts, data: { medium: 'disk', why: '' } })))).not.toContain(' data ')
  const coordinator = {
    ...BARE,
    role: 'coordinator',
    status: { name: 'plant', members: { known: 3, present: [{}, {}] } },
  }
  expect(plain(screenLines(consoleScreen(coordinator)))).toContain('  network plant  2 of 3 boxes are here\n')
})

test('whatever is said, the screen has 24 lines of 79 characters, and nothing in it commands a terminal', () => {
  const words = fc.dictionary(
    fc.constantFrom('state', 'why', 'file', 'slot', 'medium'),
    fc.string({ unit: 'binary', maxLength: 300 }),
  )
  fc.assert(
    fc.property(words, words, fc.jsonValue(), fc.boolean(), (config, slot, status, member) => {
      const facts = { ...BARE, config, slot, data: slot, wire: config, role: 'bridge', member: member ? 'x' : '' }
      const said = typeof status === 'object' && !Array.isArray(status) ? status : null
      const lines = screenLines(consoleScreen({ ...facts, status: said as ConsoleFacts['status'] }))
      expect(lines.length).toBeLessThan(ROWS)
      for (const line of lines) {
        const shown = line.replaceAll(LIGHT, '').replaceAll(PLAIN, '')
        expect(shown).toMatch(/^[ -~▄▀█]*$/)
        expect(shown.length).toBeLessThanOrEqual(COLUMNS)
      }
    }),
    { numRuns: 300 },
  )
})

test('words that every object knows are words like others', () => {
  for (const word of ['__proto__', 'constructor', 'toString']) {
    const status = { name: 'x', coordinator: { state: word, at: [], lastError: null } }
    const facts = { ...BARE, role: 'bridge', member: 'x', config: { state: word }, slot: { slot: 'A', state: word } }
    expect(plain(screenLines(consoleScreen({ ...facts, status })))).toContain(`A ${word}`)
  }
})

test('it is painted from the top, over whatever was there', () => {
  expect(paint(['a', 'b'], false)).toBe('\u001b[Ha\u001b[K\r\nb\u001b[K\r\n\u001b[J')
  expect(paint(['a'], true)).toBe('\u001b[0m\u001b[?25l\u001b[2J\u001b[Ha\u001b[K\r\n\u001b[J')
})

test('the code: its blocks are its modules, and the longest text still fits the screen', () => {
  for (const length of [20, 85, QR_MOST_BYTES]) {
    const text = 'x'.repeat(length)
    const rows = qrRows(text)
    const { data } = encode(text, { ecc: 'L', border: 2 })
    const light = (x: number, y: number): boolean => {
      const block = rows[y >> 1]?.[x]
      return block === '█' || block === (y % 2 === 0 ? '▀' : '▄')
    }
    for (const [y, row] of data.entries()) for (const [x, dark] of row.entries()) expect(light(x, y)).toBe(!dark)
    expect(rows.length).toBeLessThan(ROWS)
    expect(new Set(rows.map((row) => row.length)).size).toBe(1)
    expect(COLUMNS - (rows[0]?.length ?? 0)).toBeGreaterThan(30)
  }
})

test('the text of the code: what identifies the box, and the rest as far as there is room', () => {
  const links = 'link=525400000001,525400000002'
  expect(boxText(NEW, 134)).toBe(`ntm:box?name=ntm-000002&${links}&version=0.1.0%2B20261121T225100.g82f33fb1`)
  const made = { ...NEW, node: new Uint8Array(16).fill(0xab), publicKey: new Uint8Array(32).fill(0xcd) }
  const whole = boxText(made, 1000)
  expect(whole).toContain(`&node=${'ab'.repeat(16)}&key=${'cd'.repeat(32)}&version=`)
  expect(boxText(made, whole.length - 1)).toBe(whole.replace(/&version=.*/, ''))
  expect(boxText(made, 134)).toBe(`ntm:box?name=ntm-000002&${links}&node=${'ab'.repeat(16)}`)
})
