import { expect, test } from 'vitest'
import { pathTo } from './ping.ts'

const PATHS = [{ peer: 'desk.ntm.example' }, { peer: 'plc-7.ntm.example' }]
const peerOf = (name: string): unknown => pathTo(name, PATHS)?.['peer'] ?? null

test('a name leads to the path of its box', () => {
  expect(peerOf('plc-7.ntm.example')).toBe('plc-7.ntm.example')
  expect(peerOf('PLC-7.ntm.example.')).toBe('plc-7.ntm.example')
  expect(peerOf('plc-7')).toBe('plc-7.ntm.example')
  expect(peerOf('camera.plc-7.ntm.example')).toBe('plc-7.ntm.example')
})

test('and to no other', () => {
  for (const name of ['plc', 'xplc-7.ntm.example', 'ntm.example', 'web.example', '198.18.0.3'])
    expect(peerOf(name)).toBeNull()
})
