import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { wallTime } from '#ntm-lib/base/time.ts'
import { batch, slotAt } from '#ntm-lib/ports/packet-port.ts'
import { captured } from './capture.ts'
import { wire } from './port-memory.ts'

test('what is sent and received is written as pcap records with time and bytes', () => {
  const path = scratch()
  const [inner, far] = wire()
  const port = captured(inner, path, { link: 'ethernet', calendar: { today: () => wallTime(1_700_000_123_456) } })
  expect(port.send(one(1, 2, 3))).toBe(1)
  far.send(one(9, 8))
  expect(port.recv(batch(4, 256))).toBe(1)
  port.close()
  const file = readFileSync(path)
  expect(file.subarray(0, 24).toString('hex')).toBe('d4c3b2a1020004000000000000000000' + '00000400' + '01000000')
  const seconds = Buffer.from(Uint32Array.of(1_700_000_123, 456_000).buffer).toString('hex')
  expect(file.subarray(24).toString('hex')).toBe(`${seconds}0300000003000000010203` + `${seconds}02000000020000000908`)
  expect(statSync(path).mode & 0o777).toBe(0o600)
})

test('the file stops at its limit, the packets do not', () => {
  const path = scratch()
  const [inner, far] = wire()
  const port = captured(inner, path, { link: 'ip', maxBytes: 24 + 2 * 20 })
  for (let i = 0; i < 5; i++) port.send(one(1, 2, 3, 4))
  port.close()
  expect(statSync(path).size).toBe(24 + 2 * 20)
  expect(far.recv(batch(8, 256))).toBe(5)
})

test('a file that cannot be made is an IoFault', () => {
  const [inner] = wire()
  expect(() => captured(inner, '/nonexistent/x.pcap', { link: 'ip' })).toThrow(
    expect.objectContaining({ name: 'IoFault', code: 'ENOENT' }),
  )
})

function one(...bytes: number[]) {
  const b = batch(1, 256)
  b.arena.set(bytes, slotAt(b, 0))
  b.lens[0] = bytes.length
  b.count = 1
  return b
}

function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), 'ntm-capture-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  return join(dir, 'x.pcap')
}
