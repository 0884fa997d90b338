import { expect, test } from 'vitest'
import { nodeCrypto as suite } from '#io/crypto-node.ts'
import { parseEndpoint } from '#ntm-lib/addr/endpoint.ts'
import { parseIp } from '#ntm-lib/addr/ip.ts'
import { contains, overlaps, parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { wallTime } from '#ntm-lib/base/time.ts'
import { isCoordinator, verifyChain } from '#ntm-lib/crypto/certificate.ts'
import { makeMembership } from '#ntm-lib/crypto/identity.ts'
import { enrolPsk } from '#ntm-lib/crypto/schedule.ts'
import { parseToken } from '#ntm-lib/crypto/token.ts'
import { ROLE_BRIDGE, ROLE_COORDINATOR, ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import { makeNetwork, makeToken } from './network.ts'

const calendar = { today: () => wallTime(1_800_000_000_000) }
const network = makeNetwork({ name: 'dc.plant.example', zone: 'plant.example', suite, calendar })
const question = {
  suite,
  rootPublicKey: network.root.public,
  now: calendar.today(),
  floor: wallTime(0),
  revoked: () => false,
}

test('a new network: its coordinator proves itself, its issuer makes boxes of the zone and nothing more', () => {
  const own = verifyChain({ ...question, chain: network.coordinator.chain })
  expect(own.ok && isCoordinator(own.value) && own.value.leaf.name).toBe('dc.plant.example')
  const wish = {
    staticKey: suite.x25519Pair().public,
    roles: ROLE_BRIDGE,
    issued: 1_800_000_000,
    expires: 1_800_100_000,
  }
  const box = makeMembership(suite, network.issuer, { ...wish, name: 'plc.plant.example' })
  expect(box.ok && verifyChain({ ...question, chain: box.chain })).toMatchObject({ ok: true })
  expect(makeMembership(suite, network.issuer, { ...wish, name: 'plc.other.example' })).toMatchObject({ fault: 'name' })
  for (const roles of [ROLE_TT, ROLE_COORDINATOR])
    expect(makeMembership(suite, network.issuer, { ...wish, roles, name: 'x.plant.example' })).toMatchObject({
      fault: 'roles',
    })
})

test('the virtual plan: four ranges that do not overlap, the ULA ones random per network', () => {
  const { nodes4, servers4, nodes6, servers6 } = network.plan
  expect(overlaps(nodes4, servers4)).toBe(false)
  expect(overlaps(nodes6, servers6)).toBe(false)
  expect([nodes6.bits, servers6.bits]).toEqual([48, 64])
  expect(contains(parsePrefix('fd00::/8')!, nodes6.base)).toBe(true)
  const other = makeNetwork({ name: 'dc.plant.example', zone: 'plant.example', suite, calendar }).plan
  expect(other.nodes6.base).not.toEqual(nodes6.base)
  const ula = { nodes6: parsePrefix('fd01:2:3::/48')!, servers: parsePrefix('fd04:5:6::/48')! }
  const chosen = makeNetwork({ name: 'dc.plant.example', zone: 'plant.example', ula, suite, calendar }).plan
  expect([chosen.nodes6.base, chosen.servers6.base]).toEqual([parseIp('fd01:2:3::'), parseIp('fd04:5:6::')])
})

test('a token carries what a box needs, and its row what the coordinator needs; roles above a box need the root', () => {
  const wish = {
    name: 'TT1.plant.example.',
    roles: ROLE_TT,
    rootPublicKey: network.root.public,
    root: network.root,
    plan: network.plan,
    coordinatorStatic: network.coordinator.static.public,
    endpoints: [parseEndpoint('192.0.2.1:4330')!],
    validSeconds: 3600,
    suite,
    calendar,
  }
  const made = makeToken(wish)!
  const read = parseToken(suite, made.text)
  expect(read).toMatchObject({
    ok: true,
    value: { roles: ROLE_TT, id: made.row.id, rootPublicKey: network.root.public },
  })
  if (!read.ok) return
  expect(enrolPsk(suite, read.value.seed)).toEqual(made.row.psk)
  expect(read.value.grant?.certificate).toEqual(made.row.grant)
  expect(made.row).toMatchObject({
    name: 'tt1.plant.example',
    usedBy: null,
    failures: 0,
    expires: calendar.today() + 3_600_000,
  })
  expect(makeToken({ ...wish, root: null })).toBeNull()
  expect(makeToken({ ...wish, roles: ROLE_COORDINATOR })).toBeNull()
  expect(makeToken({ ...wish, roles: 0 })).toBeNull()
  expect(makeToken({ ...wish, roles: ROLE_BRIDGE, root: null })?.row.grant).toBeNull()
})
