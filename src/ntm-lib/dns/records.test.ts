import dnsPacket from 'dns-packet'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as any from '#test/support/wire-arbitraries.ts'
import { BugError } from '../base/invariant.ts'
import {
  decodeNtmService,
  decodeNtmv4,
  decodeNtmv6,
  encodeNtmService,
  encodeNtmv4,
  encodeNtmv6,
  SERVICE_LABELS,
  TYPE_NTMV4,
  TYPE_NTMV6,
} from './records.ts'
import { decodeSvcb, encodeSvcb } from './svcb.ts'

/** dns-packet writes a whole answer with our record data and reads it back: another implementation frames it. */
function through(type: number, rdata: Uint8Array): Uint8Array {
  const wire = dnsPacket.encode({
    type: 'response',
    id: 7,
    questions: [{ name: 'a.test', type: `UNKNOWN_${type}`, class: 'IN' }],
    answers: [{ name: 'a.test', type: `UNKNOWN_${type}`, class: 'IN', ttl: 30, data: Buffer.from(rdata) }],
  })
  const { answers } = dnsPacket.decode(wire) as unknown as { answers: readonly { type: string; data: Buffer }[] }
  expect(answers.map((a) => a.type)).toEqual([`UNKNOWN_${type}`])
  return Uint8Array.from(answers[0]!.data)
}

/** The uncompressed name in front of `rest`, as dns-packet writes it: an SRV record ends with one (RFC 2782). */
function nameBytes(name: string): Uint8Array {
  const wire = dnsPacket.encode({
    type: 'response',
    answers: [{ name: '.', type: 'SRV', class: 'IN', ttl: 0, data: { port: 1, target: name === '' ? '.' : name } }],
  })
  // Header 12, root name 1, type 2, class 2, TTL 4, length 2, then priority, weight and port.
  return Uint8Array.from(wire.subarray(12 + 1 + 10 + 6))
}

describe('records of the private types come through another DNS library unchanged', () => {
  test('NTMv4', () => {
    fc.assert(
      fc.property(any.ntmRecord(any.ip4), (record) => {
        expect(decodeNtmv4(through(TYPE_NTMV4, encodeNtmv4(record)))).toEqual({ ok: true, value: record })
      }),
    )
  })
  test('NTMv6', () => {
    fc.assert(
      fc.property(any.ntmRecord(any.ip6), (record) => {
        expect(decodeNtmv6(through(TYPE_NTMV6, encodeNtmv6(record)))).toEqual({ ok: true, value: record })
      }),
    )
  })
  test('SVCB, whose target is the name that dns-packet would write', () => {
    fc.assert(
      fc.property(any.ntmService, (service) => {
        const rdata = encodeNtmService(service)
        expect(decodeNtmService(through(64, rdata))).toEqual({ ok: true, value: service })
        const name = nameBytes(service.target)
        expect(rdata.slice(2, 2 + name.length)).toEqual(name)
      }),
    )
  })
})

describe('service records', () => {
  const service = { priority: 1, target: 'dc.test', port: 4330, hints4: [], hints6: [], coordinatorKey: null }
  const whole = { ...service, node: new Uint8Array(16) as never, fingerprint: new Uint8Array(16) as never }

  test('parameters we do not know are passed over', () => {
    const svcb = decodeSvcb(encodeNtmService(whole))
    if (!svcb.ok) throw new Error(svcb.fault)
    const params = [...svcb.value.params, { key: 65300, value: Uint8Array.of(1) }]
    expect(decodeNtmService(encodeSvcb({ ...svcb.value, params }))).toEqual({ ok: true, value: whole })
  })

  test('a mandatory list of keys we know is accepted', () => {
    const svcb = decodeSvcb(encodeNtmService(whole))
    if (!svcb.ok) throw new Error(svcb.fault)
    const params = [{ key: 0, value: Uint8Array.of(0, 3, 0xff, 0x00) }, ...svcb.value.params]
    expect(decodeNtmService(encodeSvcb({ ...svcb.value, params }))).toEqual({ ok: true, value: whole })
  })

  test('the target is read in lower case', () => {
    const bytes = encodeNtmService({ ...whole, target: 'DC.test' })
    expect(decodeNtmService(bytes)).toMatchObject({ ok: true, value: { target: 'dc.test' } })
  })

  test.each(['a..b', 'a.', '.', 'a b', 'a\\b', `${'x'.repeat(64)}`, Array(60).fill('abcd').join('.')])(
    'no target: %s',
    (target) => {
      expect(() => encodeNtmService({ ...whole, target })).toThrow(BugError)
    },
  )

  test('alias mode is not ours to write', () => {
    expect(() => encodeNtmService({ ...whole, priority: 0 })).toThrow(BugError)
  })

  test('a target of 253 characters is whole, one more is refused', () => {
    const longest = [...Array(3).fill('x'.repeat(63)), 'y'.repeat(61)].join('.')
    const rdata = encodeSvcb({ priority: 1, target: longest, params: [] })
    expect(decodeSvcb(rdata)).toMatchObject({ ok: true, value: { target: longest } })
    const longer = Uint8Array.of(...rdata.slice(0, 2 + 3 * 64), 62, ...Array(62).fill(0x79), 0)
    expect(decodeSvcb(longer)).toEqual({ ok: false, fault: 'bad-value' })
  })
})

test('the service labels are what RFC 9460 calls attribute leaves', () => {
  expect(SERVICE_LABELS).toBe('_ntm._udp')
})
