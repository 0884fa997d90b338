import { expect, test } from 'vitest'
import { type HealthFacts, judgeHealth, tunnelWorks } from './health.ts'

const PORTS = [
  { name: 'net0', carrier: true, forwards: true },
  { name: 'host0', carrier: true, forwards: true },
]
const REGISTERED = { role: 'bridge', coordinator: { state: 'registered' }, paths: [] }
const whole: HealthFacts = {
  wire: { state: 'forwarding' },
  config: { state: 'ok', role: 'bridge' },
  ports: PORTS,
  service: 'active',
  status: REGISTERED,
}
const all = { wire: 'forwarding', tunnel: true }
const nothing = { wire: 'no-host-port', tunnel: false }

test('a box that works as before is good', () => {
  expect(judgeHealth(whole, all).good).toBe(true)
  expect(judgeHealth(whole, nothing).good).toBe(true)
})

test('each thing that worked and does not is a fault with its name', () => {
  const faults: readonly (readonly [Partial<HealthFacts>, string])[] = [
    [{ wire: {} }, 'the wire has not been set up'],
    [
      { wire: { state: 'one-port', why: 'no driver' } },
      'the wire is one-port (no driver), and it forwarded before the update',
    ],
    [{ ports: PORTS.slice(1) }, 'the bridge has 1 of its 2 ports'],
    [
      { ports: [{ name: 'net0', carrier: true, forwards: false }, ...PORTS] },
      'port net0 has a link and does not forward',
    ],
    [{ config: {} }, 'the configuration has not been looked at'],
    [{ service: 'failed' }, 'ntm.service is failed'],
    [{ service: 'activating' }, 'ntm.service is activating'],
    [{ status: null }, 'ntm.service runs and does not answer'],
    [
      { status: { ...REGISTERED, coordinator: { state: 'registering' } } },
      'the tunnel worked before the update and does not now',
    ],
    [{ config: { state: 'none' }, service: 'inactive' }, 'ntm.service is inactive'],
  ]
  for (const [change, why] of faults) expect(judgeHealth({ ...whole, ...change }, all)).toEqual({ good: false, why })
})

test('what did not work before is not asked for', () => {
  const dead = { ...REGISTERED, coordinator: { state: 'offline' } }
  expect(judgeHealth({ ...whole, status: dead }, { wire: 'forwarding', tunnel: false }).good).toBe(true)
  expect(judgeHealth({ ...whole, wire: { state: 'no-host-port' }, ports: [] }, nothing).good).toBe(true)
  expect(judgeHealth({ ...whole, service: 'activating' }, nothing).good).toBe(true)
  expect(judgeHealth({ ...whole, service: 'activating', status: null }, nothing).good).toBe(false)
  expect(judgeHealth({ ...whole, service: 'failed' }, nothing).good).toBe(false)
  expect(judgeHealth({ ...whole, config: { state: 'none' }, service: 'inactive' }, nothing).good).toBe(true)
})

test('a host that is switched off is no fault', () => {
  const ports = [
    { name: 'net0', carrier: true, forwards: true },
    { name: 'host0', carrier: false, forwards: false },
  ]
  expect(judgeHealth({ ...whole, ports }, all).good).toBe(true)
})

test('a tunnel works when the coordinator knows us and not all paths are dead', () => {
  expect(tunnelWorks({ ...REGISTERED, paths: [{ state: 'silent' }] })).toBe(false)
  expect(tunnelWorks({ ...REGISTERED, paths: [{ state: 'silent' }, { state: 'open' }] })).toBe(true)
  expect(tunnelWorks({ role: 'coordinator', members: { present: [] } })).toBe(false)
  expect(tunnelWorks({ role: 'coordinator', members: { present: [{ name: 'tt1' }] } })).toBe(true)
  for (const odd of [{}, { starting: true }, { role: 'coordinator', members: 3 }, { coordinator: null, paths: 'no' }])
    expect(tunnelWorks(odd)).toBe(false)
})
