import dnsPacket from 'dns-packet'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ip4FromWord, parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { parseIp6 } from '#ntm-lib/addr/ip6.ts'
import { unhex } from '#ntm-lib/base/hex.ts'
import { addressOf, addressRecord, buildAnswer, buildQuery, parseMessage, RCODE, TYPE } from './message.ts'
import { readName, writeName } from './wire-name.ts'

const label = fc.uint8Array({ minLength: 1, maxLength: 20 })
const wireName = fc
  .array(label, { maxLength: 6 })
  .map((labels) => Uint8Array.from([...labels.flatMap((l) => [l.length, ...l]), 0]))

test('a query of ours is what dns-packet reads', () => {
  const bytes = buildQuery({
    id: 7,
    name: 'Www.Example',
    type: TYPE.AAAA,
    recursionDesired: true,
    edns: { udpSize: 1232, dnssecOk: true },
  })!
  const read = dnsPacket.decode(Buffer.from(bytes))
  expect(read).toMatchObject({
    id: 7,
    type: 'query',
    flag_rd: true,
    questions: [{ name: 'Www.Example', type: 'AAAA', class: 'IN' }],
  })
  expect(read.additionals?.[0]).toMatchObject({ type: 'OPT', udpPayloadSize: 1232, flag_do: true })
})

test('what dns-packet writes is read, compressed names too', () => {
  const bytes = dnsPacket.encode({
    id: 9,
    type: 'response',
    flags: dnsPacket.RECURSION_DESIRED | dnsPacket.AUTHORITATIVE_ANSWER | 3,
    questions: [{ name: 'A.Example', type: 'A' }],
    answers: [
      { name: 'a.example', type: 'A', ttl: 300, data: '192.0.2.1' },
      { name: 'a.example', type: 'AAAA', data: '2001:db8::1' },
      { name: 'b.example', type: 'CNAME', data: 'C.example' },
      { name: 'b.example', type: 'TXT', data: 'x' },
    ],
  })
  const m = parseMessage(bytes)!
  expect(m).toMatchObject({
    id: 9,
    isResponse: true,
    rcode: RCODE.NXDOMAIN,
    authoritative: true,
    recursionDesired: true,
    edns: false,
    udpSize: 512,
  })
  expect(m.question).toEqual({ name: 'a.example', type: 1, class: 1 })
  expect(m.answers.map(addressOf)).toEqual([parseIp4('192.0.2.1'), parseIp6('2001:db8::1'), null, null])
  expect(m.answers.map((r) => r.ttl)).toEqual([300, 0, 0, 0])
  expect(m.answers[2]?.data).toBe('c.example')
  expect(m.answers[3]?.data).toEqual(Uint8Array.of(1, 0x78))
})

test('compressed owners and names inside record data come out whole', () => {
  // id 1, response; question a.b IN SOA; answer: pointer to 12, SOA with mname "m" + pointer to 14 ("b"), rname pointer to 12.
  const bytes = unhex(
    '0001 8180 0001 0001 0000 0000  0161 0162 00 0006 0001  c00c 0006 0001 00000005 001a  016d c00e c00c 00000001 00000002 00000003 00000004 00000005',
  )!
  const m = parseMessage(bytes)!
  expect(m.answers[0]?.name).toBe('a.b')
  expect(m.answers[0]?.data).toEqual(unhex('016d 0162 00  0161 0162 00  00000001 00000002 00000003 00000004 00000005'))
})

test('an answer echoes the question byte for byte and round-trips', () => {
  const query = parseMessage(buildQuery({ id: 3, name: 'wWw.ExAmPlE', type: TYPE.A, recursionDesired: true })!)!
  const bytes = buildAnswer(query, {
    rcode: 0,
    answers: [addressRecord('www.example', parseIp4('198.19.0.1')!, 60)],
    recursionAvailable: true,
  })
  expect(new TextDecoder().decode(bytes.subarray(13, 16))).toBe('wWw')
  expect(dnsPacket.decode(Buffer.from(bytes))).toMatchObject({
    id: 3,
    flag_ra: true,
    answers: [{ name: 'wWw.ExAmPlE', data: '198.19.0.1', ttl: 60 }],
  })
  expect(addressOf(parseMessage(bytes)!.answers[0]!)).toBe(parseIp4('198.19.0.1'))
})

test('an answer keeps to what the asker takes and says when it was cut', () => {
  const plain = parseMessage(buildQuery({ id: 3, name: 'x.example', type: TYPE.A, recursionDesired: true })!)!
  const many = Array.from({ length: 60 }, (_, i) => addressRecord('x.example', ip4FromWord(i), 60))
  const cut = buildAnswer(plain, { rcode: 0, answers: many })
  expect(cut.length).toBeLessThanOrEqual(512)
  expect(parseMessage(cut)).toMatchObject({ truncated: true })
  expect(parseMessage(cut)!.answers.length).toBe(30)
  const wide = parseMessage(buildAnswer(plain, { rcode: 0, answers: many, maxBytes: 65535 }))!
  expect([wide.truncated, wide.answers.length]).toEqual([false, 60])
})

test('an EDNS asker gets EDNS back, with the upper code bits', () => {
  const query = parseMessage(
    buildQuery({ id: 3, name: 'x', type: TYPE.A, recursionDesired: false, edns: { udpSize: 4096, dnssecOk: true } })!,
  )!
  expect(query).toMatchObject({ edns: true, dnssecOk: true, udpSize: 4096 })
  expect(parseMessage(buildAnswer(query, { rcode: 16 }))).toMatchObject({
    rcode: 16,
    edns: true,
    dnssecOk: true,
    udpSize: 1232,
  })
})

test.each([
  ['nothing', ''],
  ['a pointer to itself', '0001 0000 0001 0000 0000 0000 c00c 0001 0001'],
  ['an owner that points to itself', '0001 8000 0000 0001 0000 0000 c00c 0001 0001 00000000 0000'],
  [
    'a name of 256 bytes',
    `0001 0000 0001 0000 0000 0000 ${`3f${'61'.repeat(63)}`.repeat(3)} 3e${'61'.repeat(62)} 00 0001 0001`,
  ],
  ['a pointer loop', '0001 8000 0000 0001 0000 0000 0161 c00c 0001 0001 00000000 0000'],
  ['a pointer forward', '0001 8000 0000 0001 0000 0000 c020 0001 0001 00000000 0000'],
  ['a reserved label', '0001 0000 0001 0000 0000 0000 4061 00 0001 0001'],
  ['two questions', '0001 0000 0002 0000 0000 0000 0161 00 0001 0001 0161 00 0001 0001'],
  ['counts without records', '0001 8000 0000 ffff ffff ffff'],
  ['a cut record', '0001 8000 0000 0001 0000 0000 00 0001 0001 00000000 0004 c0'],
])('refused: %s', (_name, text) => {
  expect(parseMessage(unhex(text)!)).toBeNull()
})

test('a name of 255 bytes is the longest there is', () => {
  const name = `${`${'a'.repeat(63)}.`.repeat(3)}${'a'.repeat(61)}`
  expect(parseMessage(buildQuery({ id: 1, name, type: 1, recursionDesired: true })!)?.question?.name).toBe(name)
  expect(buildQuery({ id: 1, name: `${name}a`, type: 1, recursionDesired: true })).toBeNull()
})

test('names of any bytes keep their identity as text', () => {
  fc.assert(
    fc.property(wireName, (wire) => {
      const read = readName(wire, 0, false)
      if (wire.length > 255) return expect(read).toBeNull()
      const lower = wire.map((b) => (b >= 65 && b <= 90 ? b + 32 : b))
      // Length bytes are at most 20, so lower-casing the whole wire touches letters only.
      expect(writeName(read!.text)).toEqual(lower)
      return undefined
    }),
  )
})

test('no bytes make the parser throw, and every strict prefix of a message is refused', () => {
  const good = dnsPacket.encode({
    type: 'response',
    questions: [{ name: 'a.example', type: 'MX' }],
    answers: [
      { name: 'a.example', type: 'MX', data: { preference: 1, exchange: 'm.example' } },
      { name: 'a', type: 'NS', data: 'n' },
    ],
    additionals: [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: 1232,
        flags: 0,
        options: [],
        extendedRcode: 0,
        ednsVersion: 0,
        flag_do: false,
      },
    ],
  })
  expect(parseMessage(good)).not.toBeNull()
  for (let n = 0; n < good.length; n++) expect(parseMessage(good.subarray(0, n))).toBeNull()
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (junk) => {
      parseMessage(junk)
    }),
    { numRuns: 2000 },
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 }), (edits) => {
      const bytes = Uint8Array.from(good)
      for (const [at, v] of edits) bytes[at] = v
      const m = parseMessage(bytes)
      // Whatever was read can be asked about and answered without throwing.
      if (m !== null)
        buildAnswer(m, { rcode: 0, answers: m.answers, authorities: m.authorities, additionals: m.additionals })
    }),
    { numRuns: 3000 },
  )
})

test('a message keeps its bytes when the buffer is used again', () => {
  const bytes = Uint8Array.from(
    dnsPacket.encode({
      type: 'response',
      questions: [{ name: 'q', type: 'TXT' }],
      answers: [
        { name: 'q', type: 'TXT', data: 'x' },
        { name: 'q', type: 'AAAA', data: '2001:db8::1' },
      ],
    }),
  )
  const m = parseMessage(bytes)!
  const before = JSON.stringify(m)
  bytes.fill(0)
  expect(JSON.stringify(m)).toBe(before)
})
