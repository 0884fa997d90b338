import { expect, test } from 'vitest'
import { barChart, type Chart } from './chart.ts'

const CHART: Chart = {
  title: 'Bulk <TCP> & more',
  unit: 'Mbit/s',
  groups: [
    {
      label: 'to server',
      bars: [
        { label: 'plain', value: 1000, low: 900, high: 2000 },
        { label: 'ours', value: 500 },
        { label: 'theirs', value: Number.NaN },
      ],
    },
    { label: 'to host', bars: [{ label: 'ours', value: 0 }] },
  ],
}
const rects = (svg: string): { width: number; fill: string }[] =>
  [...svg.matchAll(/<rect x="[\d.]+" y="[\d.]+" width="([\d.]+)" height="[\d.]+" fill="(#\w+)"\/>/g)].map((m) => ({
    width: Number(m[1]),
    fill: m[2] ?? '',
  }))

test('bars are as long as their values, on one scale that holds the whiskers', () => {
  const [plain, ours, nothing] = rects(barChart(CHART))
  expect((plain?.width ?? 0) / (ours?.width ?? 1)).toBeCloseTo(2, 1)
  expect(plain?.width).toBeCloseTo((760 - 120 - 60) / 2, 0)
  // Zero is drawn as a line, not as nothing.
  expect(nothing?.width).toBe(1)
})

test('groups with scales of their own fill the width each', () => {
  const groups = [10, 1000].map((value) => ({ label: `${value}`, bars: [{ label: 'a', value }] }))
  const chart = { title: 't', unit: 'u', groups }
  const widths = (own: boolean): number[] => rects(barChart({ ...chart, ownScales: own })).map((r) => r.width)
  expect(widths(true)).toEqual([580, 580])
  expect(widths(false)).toEqual([5.8, 580])
})

test('a peer has its colour in every group', () => {
  const [plain, ours, again] = rects(barChart(CHART))
  expect(ours?.fill).toBe(again?.fill)
  expect(ours?.fill).not.toBe(plain?.fill)
})

test('what was not measured says absent, and words are escaped', () => {
  const svg = barChart(CHART)
  expect(svg.match(/>absent</g)).toHaveLength(1)
  expect(svg).toContain('Bulk &lt;TCP&gt; &amp; more')
  expect(svg).not.toContain('NaN')
})

test('an empty chart is still a chart', () => {
  const svg = barChart({ title: 'nothing', unit: 'x', groups: [] })
  expect(svg).toMatch(/^<svg [\s\S]*<\/svg>\n$/)
})
