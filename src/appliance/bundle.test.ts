import { expect, test } from 'vitest'
import { judgeBundle, parseBundle, refusalText } from './bundle.ts'

const OLD = '0.1.0+20261121T225100.g82f33fb1'
const NEW = '0.1.0+20261122T000000.g00000000'
const box = (version: string) => ({ compatible: 'ntm-x86_64', version })

test('newer and same are installed, older only on demand', () => {
  expect(judgeBundle(box(NEW), box(OLD), false)).toEqual({ ok: true, step: 'newer' })
  expect(judgeBundle(box(OLD), box(OLD), false)).toEqual({ ok: true, step: 'same' })
  expect(judgeBundle(box(OLD), box(NEW), false)).toMatchObject({ ok: false, what: 'older' })
  expect(judgeBundle(box(OLD), box(NEW), true)).toEqual({ ok: true, step: 'older' })
})

test('the refusal names both versions, why, and the override', () => {
  const said = judgeBundle(box(OLD), box(NEW), false)
  expect(said.ok ? '' : said.why).toBe(
    `version ${OLD} is older than ${NEW}, which runs: faults that were mended would come back. To install it all the same: --allow-downgrade`,
  )
})

test('a version that is none of ours is not guessed at', () => {
  expect(judgeBundle(box('2026-11'), box(NEW), false)).toMatchObject({ ok: false, what: 'unordered' })
  expect(judgeBundle(box('2026-11'), box(NEW), true)).toEqual({ ok: true, step: 'unordered' })
})

test('no override makes another board fit', () => {
  const pi = { compatible: 'ntm-rpi-arm64', version: NEW }
  expect(judgeBundle(pi, box(OLD), true)).toMatchObject({ ok: false, what: 'wrong-board' })
})

test('what is no answer of RAUC is no bundle', () => {
  for (const text of ['', '[]', 'null', '{"compatible":"x"}', '{"compatible":1,"version":"2"}'])
    expect(parseBundle(text)).toBeNull()
  expect(parseBundle(`{"compatible":"ntm-x86_64","version":"${NEW}","images":[]}`)).toEqual(box(NEW))
})

test('an untrusted signature is told apart from a damaged file', () => {
  const untrusted = 'signature verification failed: Verify error: self-signed certificate'
  expect(refusalText(untrusted)).toBe(
    "its signature is not by the key this box trusts (Verify error: self-signed certificate). Take a bundle from whoever built this box's image",
  )
  expect(refusalText('Signature size (0) is too small')).toMatch(/^it is no bundle, or it is damaged: /)
})
