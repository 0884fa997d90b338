import { expect, test } from 'vitest'
import { frameFault } from '#lab/frame-fault.ts'

// Frames with checksums worked out apart: the IPv4 header is the example of RFC 1071 implementations everywhere (0xb861).
const ETHER = '020000000001020000000002'
const IP4 = '45000073000040004011b861c0a80001c0a800c7'

test('a right frame passes, with any number of tags and with link padding', () => {
  expect(frameFault(udp(), 1500)).toBe(null)
  expect(frameFault(hex(`${ETHER}81000007${text(udp()).slice(24)}`), 1500)).toBe(null)
  expect(frameFault(hex(`${ETHER}88a8000781000007${text(udp()).slice(24)}`), 1500)).toBe(null)
  // ARP is nobody's to judge.
  expect(frameFault(hex(`${ETHER}0806${'00'.repeat(46)}`), 1500)).toBe(null)
})

test('each bit of the packet that is turned is noticed', () => {
  for (let at = 14; at < udp().length; at++) {
    const frame = udp()
    frame[at] = (frame[at] ?? 0) ^ 0x10
    // The same packet under another protocol number, or as a fragment, has no UDP checksum any more: the header's own tells.
    expect(frameFault(frame, 1500), `byte ${at}`).not.toBe(null)
  }
})

test('too long, cut short and trailing bytes are noticed', () => {
  expect(frameFault(udp(), 100)).toBe('IPv4 of 115 bytes')
  expect(frameFault(udp().subarray(0, 120), 1500)).toContain('lengths')
  expect(frameFault(Uint8Array.from([...udp(), 0]), 1500)).toContain('says')
})

/** UDP of 115 bytes all in all; its checksum made so that pseudo-header, header and payload add up to 0xffff. */
function udp(): Uint8Array {
  const frame = hex(`${ETHER}0800${IP4}303910ea005f0000${'5a'.repeat(87)}`)
  let sum = 0xc0a8 + 0x0001 + 0xc0a8 + 0x00c7 + 17 + 95 + 0x3039 + 0x10ea + 0x005f
  sum += 43 * 0x5a5a + 0x5a00
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  frame.set([(~sum >> 8) & 255, ~sum & 255], 40)
  return frame
}

const hex = (s: string): Uint8Array => Uint8Array.from(Buffer.from(s, 'hex'))
const text = (b: Uint8Array): string => Buffer.from(b).toString('hex')
