import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { frameFault } from '#lab/frame-fault.ts'
import { ROOT } from '#lab/netns.ts'

// vnet.c by itself, with sanitizers, in the hands of a program that reads lines: what a kernel would never say can be said here.
let program = ''
const dir = mkdtempSync(join(tmpdir(), 'ntm-vnet-'))

beforeAll(() => {
  const native = join(ROOT, 'native/packet-io')
  program = join(dir, 'vnet')
  const files = [join(import.meta.dirname, 'vnet-stdio.c'), join(native, 'vnet.c'), join(native, 'inet.c')]
  const flags = [
    '-std=gnu11',
    '-O1',
    '-g',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-fsanitize=address,undefined',
    '-fno-sanitize-recover=all',
  ]
  execFileSync('gcc', [...flags, '-I', native, '-o', program, ...files], { stdio: 'pipe' })
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

type Header = { flags?: number; type?: number; hdrLen?: number; size?: number; start?: number; offset?: number }
const [NEEDS, VALID] = [1, 2]
const [TCP4, UFO, TCP6, UDP, ECN] = [1, 3, 4, 5, 0x80]

describe('a received header', () => {
  test.each([
    ['IPv4 TCP', tcp4(3000), { type: TCP4 }],
    ['IPv4 TCP with ECN', tcp4(3000), { type: TCP4 | ECN }],
    ['IPv4 TCP whose checksum a card vouches for', tcp4(3000), { type: TCP4, flags: VALID }],
    ['IPv6 TCP', tcp6(3000), { type: TCP6 }],
    ['IPv6 TCP behind an extension header', tcp6(3000, true), { type: TCP6 }],
    ['IPv4 UDP', udp4(3000), { type: UDP }],
    ['IPv4 TCP behind two VLAN tags', tagged(tagged(tcp4(3000))), { type: TCP4 }],
  ])('%s: a super-packet', (_, frame, header) => {
    expect(judged(frame, { size: 1000, ...header })).toMatchObject({ gso: 1000, bytes: frame.length })
  })

  test('a super-packet of one segment is a plain packet without its checksum; one without a checksum to make is complete', () => {
    expect(judged(tcp4(1000), { type: TCP4, size: 1000 })).toMatchObject({ gso: 0xffff })
    expect(judged(tcp4(1000), { type: 0 })).toMatchObject({ gso: 0xffff })
    expect(judged(tcp4(1000), { type: 0, flags: 0 })).toMatchObject({ gso: 0 })
    expect(judged(Uint8Array.of(1, 2, 3), { type: 0, flags: 0 })).toMatchObject({ gso: 0, bytes: 3 })
  })

  test('link padding goes from a packet whose checksum is still to be made', () => {
    const frame = tcp4(1)
    expect(judged(concat(frame, new Uint8Array(5).fill(0xaa)), { type: 0 })).toMatchObject({
      gso: 0xffff,
      bytes: frame.length,
    })
  })

  test.each<[string, Uint8Array, Header]>([
    ['a size of 0', tcp4(3000), { size: 0 }],
    ['a size that no packet can have', tcp4(3000), { size: 0xffff }],
    ['segments of a few bytes', tcp4(3000), { size: 7 }],
    ['more datagrams than the kernel makes of one', udp4(3000), { type: UDP, size: 23 }],
    ['TCP over IPv4 said of IPv6', tcp6(3000), { type: TCP4 }],
    ['TCP over IPv6 said of IPv4', tcp4(3000), { type: TCP6 }],
    ['TCP said of UDP', udp4(3000), { type: TCP4 }],
    ['UDP said of TCP', tcp4(3000), { type: UDP }],
    ['UDP fragmentation, which was never offered', udp4(3000), { type: UFO }],
    ['a type nobody knows', tcp4(3000), { type: 9 }],
    ['ECN without TCP', udp4(3000), { type: UDP | ECN }],
    ['ECN alone', tcp4(3000), { type: ECN }],
    ['a checksum that nobody vouches for', tcp4(3000), { flags: 0 }],
    ['a header longer than the frame', tcp4(3000), { hdrLen: 60_000 }],
    ['a checksum that starts elsewhere', tcp4(3000), { start: 30 }],
    ['a checksum outside the frame', tcp4(3000), { start: 65_000 }],
    ['a checksum field at another place', tcp4(3000), { offset: 6 }],
    ['a checksum field outside the frame', tcp4(3000), { offset: 65_000 }],
    ['a frame cut short', tcp4(3000).subarray(0, 2000), {}],
    ['a frame cut within its TCP header', tcp4(3000).subarray(0, 50), {}],
    ['bytes behind the packet', concat(tcp4(3000), new Uint8Array(9)), {}],
    ['a SYN', tcp4(3000, 0x02), {}],
    ['a reset', tcp4(3000, 0x14), {}],
    ['a fragment', patched(tcp4(3000), 20, 0x20), {}],
    ['a TCP header longer than the packet', patched(tcp4(10), 46, 0xf0), { size: 8 }],
    ['a UDP length that says otherwise', patched(udp4(3000), 39, 1), { type: UDP }],
    ['neither IPv4 nor IPv6', patched(tcp4(3000), 12, 0x99), {}],
    ['no IP header', tcp4(3000).subarray(0, 20), {}],
  ])('%s: refused', (_, frame, header) => {
    expect(judged(frame, { type: TCP4, size: 1000, hdrLen: 0, ...header })).toBe('bad')
  })

  test('a plain packet with a checksum outside of it is refused', () => {
    const icmp = patched(tcp4(100), 23, 1)
    expect(judged(icmp, { type: 0, start: 34, offset: 2000 })).toBe('bad')
    expect(judged(icmp, { type: 0, start: 2000, offset: 2 })).toBe('bad')
    expect(judged(icmp, { type: 0, start: icmp.length - 1, offset: 0 })).toBe('bad')
  })

  test('checksums we do not know the place of are put in: SCTP as a CRC, a packet within a packet as a sum', () => {
    const sctp = patched(tcp4(101), 23, 132)
    const done = judged(withIp4Sum(sctp), { type: 0, start: 34, offset: 8 })
    expect(done).toMatchObject({ gso: 0 })
    expect(done !== 'bad' && frameFault(done.frame, 1500)).toBe(null)
    // IPv4 in IPv4: what is summed is the inner packet's.
    const inner = tcp4(77).subarray(14)
    const outer = concat(tcp4(0).subarray(0, 34), inner)
    outer.set([0, outer.length - 14], 16)
    outer[23] = 4
    const pseudo = foldedSum(concat(inner.subarray(12, 20), Uint8Array.of(0, 6, 0, inner.length - 20)))
    outer.set([pseudo >> 8, pseudo & 255], 34 + 20 + 16)
    const made = judged(withIp4Sum(outer), { type: 0, start: 54, offset: 16 })
    expect(made).toMatchObject({ gso: 0 })
    expect(made !== 'bad' && frameFault(concat(made.frame.subarray(0, 14), made.frame.subarray(34)), 1500)).toBe(null)
  })
})

describe('a header to send', () => {
  test.each<[string, Uint8Array, number, Header]>([
    ['IPv4 TCP', tcp4(3000), 1000, { type: TCP4, size: 1000, hdrLen: 54, start: 34, offset: 16 }],
    [
      'IPv4 TCP that answers congestion',
      tcp4(3000, 0x90),
      1000,
      { type: TCP4 | ECN, size: 1000, hdrLen: 54, start: 34, offset: 16 },
    ],
    [
      'IPv6 TCP behind an extension header',
      tcp6(3000, true),
      900,
      { type: TCP6, size: 900, hdrLen: 82, start: 62, offset: 16 },
    ],
    ['IPv4 UDP in a VLAN', tagged(udp4(3000)), 500, { type: UDP, size: 500, hdrLen: 46, start: 38, offset: 6 }],
    ['no more than one segment', tcp4(3000), 3000, { type: 0, size: 0, hdrLen: 54, start: 34, offset: 16 }],
    ['a checksum alone', udp4(30), 0xffff, { type: 0, size: 0, hdrLen: 42, start: 34, offset: 6 }],
  ])('%s', (_, frame, gso, want) => {
    const made = make(frame, gso)
    if (made === 'bad') throw new Error('bad')
    expect(made.header).toEqual({ flags: NEEDS, ...want })
    // Summing over what the field holds now must give the right checksum: that is what the kernel will do.
    const [start = 0, offset = 0] = [want.start, want.offset]
    const sum = ~foldedSum(made.frame.subarray(start)) & 0xffff
    made.frame.set([sum >> 8, sum & 255], start + offset)
    expect(frameFault(made.frame, 65_535)).toBe(null)
  })

  test('a complete packet gets none, whatever it is', () => {
    const made = make(Uint8Array.of(1, 2, 3), 0)
    expect(made).toMatchObject({ header: { flags: 0, type: 0, size: 0, hdrLen: 0, start: 0, offset: 0 }, bytes: 3 })
  })

  test('what cannot be cut is refused', () => {
    for (const frame of [
      patched(tcp4(100), 23, 1),
      patched(tcp4(100), 20, 0x20),
      tcp4(100).subarray(0, 60),
      Uint8Array.of(1),
    ])
      for (const gso of [50, 0xffff]) expect(make(frame, gso)).toBe('bad')
  })
})

test('whatever the bytes, nothing outside the frame is touched', () => {
  const lines: string[] = []
  const base = [tcp4(200), tcp6(200, true), udp4(90), tagged(tcp4(60))]
  fc.assert(
    fc.property(
      fc.constantFrom(...base),
      fc.array(fc.tuple(fc.nat(90), fc.nat(255)), { maxLength: 6 }),
      fc.nat(300),
      fc.uint8Array({ minLength: 10, maxLength: 10 }),
      fc.constantFrom(0, 1, 2, 4, 5, 0x81),
      fc.boolean(),
      (frame, changes, length, header, type, ethernet) => {
        const bytes = frame.slice(ethernet ? 0 : 14)
        for (const [at, value] of changes) bytes[at] = value
        header[1] = type
        header[0] = (header[0] ?? 0) & 3
        // Small numbers come near the bounds; random ones are hardly ever inside.
        for (const at of [3, 5, 7, 9]) header[at] = (header[at] ?? 0) & 1
        const hex = Buffer.from(bytes.subarray(0, length)).toString('hex')
        lines.push(`judge ${ethernet ? 1 : 0} ${Buffer.from(header).toString('hex')} ${hex}`)
        lines.push(`make ${ethernet ? 1 : 0} ${header[4]} ${hex}`)
      },
    ),
    { numRuns: 5000 },
  )
  const out = run(lines)
  expect(out.length).toBe(lines.length)
  expect(out.filter((line) => line === 'bad').length).toBeGreaterThan(1000)
  expect(out.filter((line) => line !== 'bad').length).toBeGreaterThan(1000)
})

type Judged = 'bad' | { readonly gso: number; readonly bytes: number; readonly frame: Uint8Array }

/** By default the header says truly where the checksum of a TCP or UDP packet is. */
function judged(frame: Uint8Array, h: Header): Judged {
  const at = transport(frame)
  const truth = { flags: NEEDS, type: 0, hdrLen: 0, size: 0, start: at, offset: proto(frame) === 17 ? 6 : 16 }
  const { flags, type, hdrLen, size, start, offset } = { ...truth, ...h }
  const header = Buffer.from([flags, type, 0, 0, 0, 0, 0, 0, 0, 0])
  for (const [i, v] of [hdrLen, size, start, offset].entries()) header.writeUInt16LE(v, 2 + 2 * i)
  const [line = ''] = run([`judge 1 ${header.toString('hex')} ${Buffer.from(frame).toString('hex')}`])
  if (line === 'bad') return 'bad'
  const [gso, bytes, hex = ''] = line.split(' ')
  return { gso: Number(gso), bytes: Number(bytes), frame: Uint8Array.from(Buffer.from(hex, 'hex')) }
}

function make(frame: Uint8Array, gso: number): 'bad' | { header: Header; bytes: number; frame: Uint8Array } {
  const [line = ''] = run([`make 1 ${gso} ${Buffer.from(frame).toString('hex')}`])
  if (line === 'bad') return 'bad'
  const [head = '', bytes, hex = ''] = line.split(' ')
  const h = Buffer.from(head, 'hex')
  const [hdrLen, size, start, offset] = [2, 4, 6, 8].map((at) => h.readUInt16LE(at))
  return {
    header: { flags: h[0] ?? 0, type: h[1] ?? 0, hdrLen, size, start, offset } as Header,
    bytes: Number(bytes),
    frame: Uint8Array.from(Buffer.from(hex, 'hex')),
  }
}

function run(lines: readonly string[]): string[] {
  const input = `${lines.join('\n')}\n`
  return execFileSync(program, { input, stdio: 'pipe', maxBuffer: 1 << 28 })
    .toString()
    .split('\n')
    .slice(0, -1)
}

function tcp4(payload: number, flags = 0x10): Uint8Array {
  const header = new Uint8Array(20)
  header.set([0x30, 0x39, 0x10, 0xea])
  header.set([0x50, flags], 12)
  return ip4(6, concat(header, data(payload)))
}

function udp4(payload: number): Uint8Array {
  return ip4(
    17,
    concat(Uint8Array.of(0x30, 0x39, 0x10, 0xea, (payload + 8) >> 8, (payload + 8) & 255, 0, 0), data(payload)),
  )
}

function tcp6(payload: number, extended = false): Uint8Array {
  const segment = tcp4(payload).subarray(34)
  const extension = extended ? Uint8Array.of(6, 0, 1, 4, 0, 0, 0, 0) : new Uint8Array(0)
  const head = new Uint8Array(40)
  const bytes = extension.length + segment.length
  head.set([0x60, 0, 0, 0, bytes >> 8, bytes & 255, extended ? 60 : 6, 64, 0xfd, 1])
  head.set([0xfd, 2], 24)
  return concat(ETHER, Uint8Array.of(0x86, 0xdd), head, extension, segment)
}

function ip4(protocol: number, rest: Uint8Array): Uint8Array {
  const bytes = rest.length + 20
  const head = Uint8Array.of(
    0x45,
    0,
    bytes >> 8,
    bytes & 255,
    0,
    1,
    0x40,
    0,
    64,
    protocol,
    0,
    0,
    10,
    0,
    0,
    1,
    10,
    0,
    0,
    2,
  )
  return withIp4Sum(concat(ETHER, Uint8Array.of(0x08, 0x00), head, rest))
}

function withIp4Sum(frame: Uint8Array): Uint8Array {
  const out = frame.slice()
  out.set([0, 0], 24)
  const sum = ~foldedSum(out.subarray(14, 34)) & 0xffff
  out.set([sum >> 8, sum & 255], 24)
  return out
}

function foldedSum(bytes: Uint8Array): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return sum
}

const ETHER = Uint8Array.of(2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2)
const data = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 7) & 255)
const tagged = (f: Uint8Array): Uint8Array => concat(f.subarray(0, 12), Uint8Array.of(0x81, 0, 0, 7), f.subarray(12))
const concat = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts))

/** Inside IPv4 headers the sum is not looked at by what is tested. */
function patched(frame: Uint8Array, at: number, value: number): Uint8Array {
  const out = frame.slice()
  out[at] = value
  return out
}

function transport(frame: Uint8Array): number {
  let at = 14
  while (frame[at - 2] === 0x81) at += 4
  if ((frame[at] ?? 0) >> 4 === 4) return at + 20
  return at + 40 + (frame[at + 6] === 60 ? 8 : 0)
}

function proto(frame: Uint8Array): number {
  const at = transport(frame)
  return (frame[at - 20] ?? 0) === 0x45 ? (frame[at - 11] ?? 0) : 6
}
