import { describe, expect, test } from 'vitest'
import { fingerprint, nodeId, type PathId, pathId } from '../addr/ids.ts'
import { ip4FromWord } from '../addr/ip4.ts'
import { ip6FromBytes } from '../addr/ip6.ts'
import { host } from '../addr/prefix.ts'
import { BugError } from '../base/invariant.ts'
import { decodeMessage, encodeMessage } from './codec.ts'
import { type Contract, decodeContract, encodeContract, MAX_CONTRACT_BYTES } from './contract.ts'
import { MAX_BODY_BYTES } from './envelope.ts'
import type { Message } from './message.ts'
import { MAX_HOSTS } from './messages/common.ts'

const b = (size: number): Uint8Array => new Uint8Array(size).fill(0x61)
const vip4 = ip4FromWord(0xc6120001)
const vip6 = ip6FromBytes(b(16))
const endpoint = { ip: vip6, port: 4330 }
const times = <T>(count: number, item: T): T[] => new Array<T>(count).fill(item)

const contract = (prefixes: number): Contract => ({
  pathIds: [1, 2, 3, 4].map(pathId) as unknown as readonly [PathId, PathId, PathId, PathId],
  fingerprint: fingerprint(b(16)),
  opener: nodeId(b(16)),
  acceptor: nodeId(b(16)),
  openerMembership: b(32),
  acceptorMembership: b(32),
  openerAllowed: [...times(prefixes, host(vip4)), ...times(prefixes, host(vip6))],
  acceptorAllowed: [...times(prefixes, host(vip4)), ...times(prefixes, host(vip6))],
  suiteMask: 1,
  leaseSeconds: 1,
  version: 1,
})
const registration = (hosts: number): Message => ({
  kind: 'registration',
  name: 'x'.repeat(255),
  bootId: b(8),
  locationVersion: 1,
  versionMin: 1,
  versionMax: 1,
  features: 0,
  mtuBytes: 1500,
  candidates: times(8, { type: 'local', endpoint, priority: 1 }),
  hosts: times(hosts, { host: b(8), name: 'x'.repeat(63) }),
  revocationVersion: 0,
  loadPercent: 0,
  relays: times(8, { relay: nodeId(b(16)), rttMillis: 1 }),
})
const answer = (hosts: number): Message => ({
  kind: 'registration-response',
  observed: endpoint,
  echoNonce: b(8),
  vip4,
  vip6,
  hosts: times(hosts, { host: b(8), vip4, vip6 }),
  virtual: times(4, host(vip6)),
  zones: times(4, 'x'.repeat(255)),
  descriptors: times(3, b(1000)),
  relays: times(8, { relay: nodeId(b(16)), endpoints: [endpoint, endpoint] }),
  keepAliveSeconds: 1,
  leaseSeconds: 1,
})

describe('the largest a network may be still fits eight parts', () => {
  const largest: Message = {
    kind: 'direction-response',
    contractHash: b(32),
    route: {
      contract: b(MAX_CONTRACT_BYTES),
      pathSecret: b(32),
      peerChain: times(2, b(1000)),
      peerCandidates: times(8, { type: 'mapped', endpoint, priority: 1 }),
      youAre: 'opener',
      peerLocationVersion: 1,
      way: 'relay',
      optimise: 'ice',
      relay: { relay: nodeId(b(16)), endpoints: [endpoint, endpoint], key: b(32), leaseSeconds: 1 },
    },
    moved: null,
    target: { name: 'x'.repeat(255), vip4, vip6, ttlSeconds: 1, families: 3 },
  }
  test.each([registration(MAX_HOSTS), answer(MAX_HOSTS), largest])('$kind', (m) => {
    const { code, response, refusal, body } = encodeMessage(m)
    expect(body.length).toBeLessThanOrEqual(MAX_BODY_BYTES)
    expect(decodeMessage(code, response, refusal, body)).toEqual({ ok: true, value: m })
  })
})

test('the contract of two bridges with the most hosts fits, a larger one is refused both ways', () => {
  const bytes = encodeContract(contract(MAX_HOSTS))
  expect(decodeContract(bytes)).toEqual({ ok: true, value: contract(MAX_HOSTS) })
  expect(() => encodeContract(contract(MAX_HOSTS + 14))).toThrow(BugError)
  expect(decodeContract(b(MAX_CONTRACT_BYTES + 1))).toEqual({ ok: false, fault: 'long' })
})

test.each([registration, answer])('one host too many is refused both ways', (make) => {
  expect(() => encodeMessage(make(MAX_HOSTS + 1))).toThrow(BugError)
  const { code, response, refusal, body } = encodeMessage(make(MAX_HOSTS))
  const at = body.findIndex((byte, i) => byte === 0 && body[i + 1] === MAX_HOSTS)
  const hostBytes = make === registration ? 72 : 28
  const more = Uint8Array.of(
    ...body.slice(0, at),
    0,
    MAX_HOSTS + 1,
    ...body.slice(at + 2, at + 2 + hostBytes),
    ...body.slice(at + 2),
  )
  expect(decodeMessage(code, response, refusal, more)).toEqual({ ok: false, fault: 'bad-value' })
})
