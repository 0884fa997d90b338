import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { MESSAGES } from '#ntm-lib/wire/codec.ts'
import { FRAMES } from '#ntm-lib/wire/frames.ts'
import { HANDSHAKES } from '#ntm-lib/wire/handshake.ts'
import { RELAY_LEG } from '#ntm-lib/wire/relay-leg.ts'
import { CODECS, type Codec } from '#test/support/wire-codecs.ts'
import { readVectors } from './vector.ts'

const files = readVectors(join(import.meta.dirname, 'wire'))
const codecs: Readonly<Record<string, Codec>> = CODECS

describe.each(files)('$file', ({ codec: name, vectors }) => {
  test.each(vectors)('$name', (v) => {
    const codec = codecs[name]
    if (codec === undefined) throw new Error(`no codec ${name}`)
    if ('fault' in v) return expect(codec.decode(v.bytes)).toEqual({ ok: false, fault: v.fault })
    expect(codec.decode(v.bytes)).toEqual({ ok: true, value: v.value })
    expect(codec.encode(v.value as never)).toEqual(v.bytes)
  })
})

test('every codec has accepted and refused vectors', () => {
  const missing = Object.keys(CODECS).filter((name) => {
    const all = files.filter((f) => f.codec === name).flatMap((f) => f.vectors)
    return !all.some((v) => 'value' in v) || !all.some((v) => 'fault' in v)
  })
  expect(missing).toEqual([])
})

test('every message, handshake, relay leg datagram and frame has an accepted vector', () => {
  const values = files.flatMap((f) =>
    f.vectors.flatMap((v) => ('value' in v ? [{ codec: f.codec, value: v.value }] : [])),
  )
  const kinds = new Set(values.flatMap(({ value }) => kindsIn(value)))
  const seen = new Set([...kinds, ...values.map((v) => v.codec)])
  const all = [...Object.keys(MESSAGES), ...Object.keys(HANDSHAKES), ...Object.keys(RELAY_LEG), ...Object.keys(FRAMES)]
  expect(all.filter((kind) => !seen.has(kind))).toEqual([])
})

test('every vector says where it comes from and no two of a file share a name', () => {
  for (const { file, vectors } of files) {
    expect([file, vectors.filter((v) => v.source === '').length]).toEqual([file, 0])
    expect([file, new Set(vectors.map((v) => v.name)).size]).toEqual([file, vectors.length])
  }
})

function kindsIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return []
  const own = 'kind' in value && typeof value.kind === 'string' ? [value.kind] : []
  return [...own, ...Object.values(value).flatMap(kindsIn)]
}
