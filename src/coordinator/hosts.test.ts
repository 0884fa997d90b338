import { expect, test } from 'vitest'
import { nodeKey } from '#ntm-lib/addr/ids.ts'
import { prefixText } from '#ntm-lib/addr/prefix.ts'
import { decodeNtmService, decodeNtmv4, decodeNtmv6 } from '#ntm-lib/dns/records.ts'
import { ROLE_BRIDGE, ROLE_NODE } from '#ntm-lib/wire/certificate.ts'
import { decodeContract } from '#ntm-lib/wire/contract.ts'
import type { HostClaim, HostGrant } from '#ntm-lib/wire/messages/common.ts'
import type { DirectionResponse, RouteDirection } from '#ntm-lib/wire/messages/direction.ts'
import { CoordinatorWorld } from '#test/support/coordinator-world.ts'
import { ask, raw, zoneOf } from '#test/support/zone-asker.ts'

const PLC: HostClaim = { host: new Uint8Array(8).fill(7), name: 'PLC-7' }
const HMI: HostClaim = { host: new Uint8Array(8).fill(8), name: 'hmi' }
const ODD: HostClaim = { host: new Uint8Array(8).fill(9), name: 'not a name' }

test('a host behind a bridge is found by its name below the bridge; the contract speaks for it', () => {
  const { w, pc, bridge, grants } = scene([PLC, HMI])
  const asked = w.direct(pc, `Hmi.${bridge.name}.`)
  const { message } = w.accept(bridge, 0, 0) as { message: RouteDirection }
  const { host: _, ...pair } = grants[1]!
  expect(message.target).toEqual({ name: `hmi.${bridge.name}`, ...pair, ttlSeconds: 0, families: 0 })
  const answer = w.answers.get(asked) as DirectionResponse
  expect(answer.target).toEqual({ name: `hmi.${bridge.name}`, ...pair, ttlSeconds: 60, families: 3 })
  expect(allowedOf(answer, bridge.node)).toContain(prefixText({ base: pair.vip4, bits: 32 }))
})

test("a bridge's own name leads to its host: the first that was given addresses and is still there", () => {
  const { w, pc, bridge, grants } = scene([PLC, HMI])
  const vips = (name: string) => {
    const asked = w.direct(pc, name)
    if (w.waitsFor(bridge)) w.accept(bridge)
    return (w.answers.get(asked) as DirectionResponse).target?.vip4
  }
  expect(vips(bridge.name)).toBe(grants[0]!.vip4)
  w.register(bridge, [HMI])
  expect(vips(bridge.name)).toBe(grants[1]!.vip4)
  w.register(bridge, [HMI, PLC])
  expect(vips(bridge.name)).toBe(grants[0]!.vip4)
})

test('no host is behind the bridge, or not this one, or nobody of that name: three different answers', () => {
  const { w, pc, bridge } = scene([PLC, ODD])
  const answer = (name: string) => w.answers.get(w.direct(pc, name))
  expect(answer(`nobody.${bridge.name}`)).toMatchObject({ code: 'unknown-name' })
  expect(answer(`not a name.${bridge.name}`)).toMatchObject({ code: 'unknown-name' })
  expect(answer(`plc-7.${pc.name}`)).toMatchObject({ code: 'unknown-name' })
  expect(answer(`deep.plc-7.${bridge.name}`)).toMatchObject({ code: 'unknown-name' })
  w.register(bridge, [ODD])
  expect(answer(`plc-7.${bridge.name}`)).toMatchObject({ code: 'peer-silent', retryAfterMillis: 5000 })
  w.register(bridge, [])
  expect(answer(bridge.name)).toMatchObject({ code: 'peer-silent' })
  expect(w.asked).toEqual([])
})

test('a host that came after the contract gets a new one that speaks for it too', () => {
  const { w, pc, bridge } = scene([PLC])
  const first = w.direct(pc, `plc-7.${bridge.name}`)
  w.accept(bridge)
  const late = w.register(bridge, [PLC, HMI]).hosts[1]!
  const second = w.direct(pc, `hmi.${bridge.name}`)
  expect(w.accept(bridge).message.kind).toBe('route-direction')
  const [one, two] = [first, second].map((t) => w.answers.get(t) as DirectionResponse)
  expect(two?.contractHash).not.toEqual(one?.contractHash)
  expect(allowedOf(two!, bridge.node)).toContain(prefixText({ base: late.vip6, bits: 128 }))
  // And the first one needs no other.
  w.advance(20_000)
  w.direct(pc, `plc-7.${bridge.name}`)
  expect(w.takeKind(bridge, 'path-extend').message).toMatchObject({ contractHash: two?.contractHash })
})

test('two hosts of one bridge asked for at once share one contract', () => {
  const { w, pc, bridge, grants } = scene([PLC, HMI])
  const asked = ['plc-7', 'hmi'].map((host) => w.direct(pc, `${host}.${bridge.name}`))
  expect(w.asked.length).toBe(1)
  w.accept(bridge)
  const answers = asked.map((t) => w.answers.get(t) as DirectionResponse)
  expect(answers.map((a) => a.target?.vip4)).toEqual(grants.map((g) => g.vip4))
  expect(answers[1]?.contractHash).toEqual(answers[0]?.contractHash)
  expect(w.core.provisional).toBe(0)
})

test('by virtual address of either family: the host, its bridge, and the name it has', () => {
  const { w, pc, bridge, grants } = scene([PLC, ODD])
  for (const [grant, name] of [[grants[0]!, `plc-7.${bridge.name}`], [grants[1]!, bridge.name]] as const)
    for (const vip of [grant.vip4, grant.vip6]) {
      const asked = w.direct(pc, vip)
      if (w.waitsFor(bridge)) w.accept(bridge)
      expect(w.answers.get(asked)).toMatchObject({ target: { name, vip4: grant.vip4, vip6: grant.vip6 } })
    } // biome-ignore format: pairs
})

test('from a host behind one bridge to a host behind another: both contracts sides list their hosts', () => {
  const { w, bridge } = scene([PLC])
  const other = w.member('other', ROLE_BRIDGE, '192.0.2.9:4330')
  const [own] = w.register(other, [HMI]).hosts
  const asked = w.direct(other, `plc-7.${bridge.name}`, [own!.vip4, own!.vip6])
  w.accept(bridge)
  const answer = w.answers.get(asked) as DirectionResponse
  expect(allowedOf(answer, other.node)).toContain(prefixText({ base: own!.vip4, bits: 32 }))
  // The name that the bridge itself carries below another bridge is nobody's.
  expect(w.answers.get(w.direct(other, `hmi.${other.name}`))).toMatchObject({ code: 'no-route' })
})

test('a host that calls itself otherwise is found by the new name, and no longer by the old one', () => {
  const { w, pc, bridge, grants } = scene([PLC])
  const serial = w.store.number('zone-serial')
  w.register(bridge, [{ ...PLC, name: 'press' }])
  expect(w.store.number('zone-serial')).toBe(serial + 1)
  w.register(bridge, [{ ...PLC, name: 'press' }])
  expect(w.store.number('zone-serial')).toBe(serial + 1)
  expect(w.answers.get(w.direct(pc, `plc-7.${bridge.name}`))).toMatchObject({ code: 'unknown-name' })
  const asked = w.direct(pc, `press.${bridge.name}`)
  w.accept(bridge)
  expect(w.answers.get(asked)).toMatchObject({ target: { vip4: grants[0]!.vip4 } })
})

test('two hosts of one name: the one that is there, then the one that was first', () => {
  const twin = { ...HMI, name: 'plc-7' }
  const { w, pc, bridge, grants } = scene([PLC, twin])
  const find = () => {
    const asked = w.direct(pc, `plc-7.${bridge.name}`)
    if (w.waitsFor(bridge)) w.accept(bridge)
    return (w.answers.get(asked) as DirectionResponse).target?.vip4
  }
  expect(find()).toBe(grants[0]!.vip4)
  w.register(bridge, [twin])
  expect(find()).toBe(grants[1]!.vip4)
})

test('DNS: NTM records and a service record of a host, under its name; the names in between exist', () => {
  const { w, bridge, grants } = scene([PLC, HMI])
  const zone = zoneOf(w)
  const name = `plc-7.${bridge.name}`
  expect(decodeNtmv4(raw(ask(zone, name, 'UNKNOWN_65280')))).toMatchObject({
    ok: true,
    value: { vip: grants[0]!.vip4, node: bridge.node },
  })
  expect(decodeNtmv6(raw(ask(zone, `HMI.${bridge.name}`, 'UNKNOWN_65281')))).toMatchObject({
    ok: true,
    value: { vip: grants[1]!.vip6, node: bridge.node },
  })
  expect(decodeNtmService(raw(ask(zone, `_ntm._udp.${name}`, 'UNKNOWN_64')))).toMatchObject({
    ok: true,
    value: { node: bridge.node },
  })
  // The bridge's own name stands for its host.
  expect(decodeNtmv4(raw(ask(zone, bridge.name, 'UNKNOWN_65280')))).toMatchObject({ value: { vip: grants[0]!.vip4 } })
  for (const between of [`_udp.${name}`, name])
    expect(ask(zone, between, 'A')).toMatchObject({ rcode: 'NOERROR', answers: [] })
  expect(ask(zone, `nobody.${bridge.name}`, 'A')).toMatchObject({ rcode: 'NXDOMAIN' })
  w.core.revoke(bridge.node, w.now)
  expect(ask(zone, name, 'UNKNOWN_65280')).toMatchObject({ rcode: 'NXDOMAIN' })
})

/** A node on the open Internet, and a bridge behind a NAT with these hosts. */
function scene(hosts: readonly HostClaim[]) {
  const w = new CoordinatorWorld()
  const pc = w.member('pc', ROLE_NODE, '192.0.2.7:4330')
  const bridge = w.member('plant', ROLE_BRIDGE, '203.0.113.5:61001', ['10.0.0.2:4330'])
  const grants: readonly HostGrant[] = w.register(bridge, hosts).hosts
  return { w, pc, bridge, grants }
}

function allowedOf({ route }: DirectionResponse, node: Uint8Array): string[] {
  const decoded = decodeContract(route!.contract)
  if (!decoded.ok) throw new RangeError(decoded.fault)
  const { opener, openerAllowed, acceptorAllowed } = decoded.value
  return (nodeKey(opener) === nodeKey(node as typeof opener) ? openerAllowed : acceptorAllowed).map(prefixText)
}
