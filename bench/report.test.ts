import { expect, test } from 'vitest'
import { charts } from './charts.ts'
import { figure, markdown, type Report, renewed } from './report.ts'
import { row } from './row.ts'

const REPORT: Report = {
  date: '2026-01-02T03:04:05.000Z',
  commit: 'abcdef0',
  machine: { cpu: 'a processor', cores: 2, kernel: '6.1', node: 'v24' },
  peers: { plain: 'kernel forwarding', openvpn: 'absent: no network' },
  rows: [
    row('tcp', 'TCP 1 stream to server', 'plain', 'Mbit/s', [3000, 1000, 2000]),
    row('tcp', 'TCP 1 stream to server', 'ntm', 'Mbit/s', []),
    { ...row('names', '(a) name known', 'x', 'ms', [0.5]), peer: null, lab: 'plain', goal: '<= 1' },
  ],
  ratios: { tcp1_over_plain: 0.512, udp128_over_plain: null },
}

test('a peer has a column, a cell its median with least and 90th percentile', () => {
  const text = markdown(REPORT)
  const line = text.split('\n').find((one) => one.startsWith('| TCP 1 stream to server'))
  expect(line?.split('|').map((cell) => cell.trim())).toEqual([
    ...['', 'TCP 1 stream to server', 'Mbit/s', '2000 (1000–3000)', 'absent', ''],
  ])
  expect(text).toContain('absent: no network')
  expect(text).toMatch(/`tcp1_over_plain` +\| 0\.512/)
  expect(text).toMatch(/`udp128_over_plain` +\| absent/)
  expect(text).toMatch(/\| plain \| \(a\) name known \| 0\.500/)
})

test('charts are drawn of what there is', () => {
  const made = charts(REPORT.rows)
  expect(Object.keys(made)).toEqual(['tcp.svg'])
  expect(made['tcp.svg']).toContain('absent')
  expect(made['tcp.svg']).not.toContain('8 streams')
})

test('figures have three digits that mean something', () => {
  expect([12345.6, 99.99, 1.234, 0.1234, Number.NaN].map(figure)).toEqual(['12346', '100.0', '1.23', '0.123', '-'])
})

test('a group measured again takes the place of the old rows of that group alone, and says when', () => {
  const again = row('names', '(a) name known', 'x', 'ms', [0.7])
  const part = {
    ...REPORT,
    date: '2026-02-03T00:00:00.000Z',
    commit: '1234567',
    rows: [again, row('tcp', 't', 'ntm', 'ratio', [1])],
  }
  const next = renewed(REPORT, part, ['names'])
  expect(next.rows).toEqual([...REPORT.rows.slice(0, 2), again])
  expect([next.date, next.commit]).toEqual([REPORT.date, REPORT.commit])
  expect(markdown(next)).toContain('Measured again: names, 2026-02-03T00:00:00.000Z, commit 1234567.')
})
