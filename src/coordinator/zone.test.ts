import dnsPacket from 'dns-packet'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseIp } from '#ntm-lib/addr/ip.ts'
import { type Instant, instant } from '#ntm-lib/base/time.ts'
import { decodeNtmService, decodeNtmv4, decodeNtmv6 } from '#ntm-lib/dns/records.ts'
import { ROLE_BRIDGE, ROLE_NODE, ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import { CoordinatorWorld, ep } from '#test/support/coordinator-world.ts'
import { ASKER, ask, query, raw, zoneOf } from '#test/support/zone-asker.ts'

test('SOA and NS at the apex, addresses of the name server', () => {
  const { zone } = scene()
  const soa = ask(zone, 'ntm.example', 'SOA')
  expect(soa).toMatchObject({ rcode: 'NOERROR', flag_aa: true, flag_ra: false })
  expect(soa.answers[0]).toMatchObject({ type: 'SOA', data: { mname: 'ns.ntm.example', minimum: 30 } })
  expect(ask(zone, 'NTM.example', 'NS').answers).toMatchObject([{ type: 'NS', data: 'ns.ntm.example' }])
  expect(ask(zone, 'ns.ntm.example', 'A').answers).toMatchObject([{ data: '198.51.100.1' }])
  expect(ask(zone, 'ns.ntm.example', 'AAAA').answers).toEqual([])
})

test('NTMv4, NTMv6 and one service record name the box and its coordinator, without any real address', () => {
  const { zone, w, box } = scene()
  const { pair, node } = w.store.member(box.node)!
  const v4 = decodeNtmv4(raw(ask(zone, box.name, 'UNKNOWN_65280')))
  const common = { node, port: 4330, published: null }
  expect(v4).toMatchObject({ ok: true, value: { ...common, vip: pair.vip4, coordinator: ep('198.51.100.1:1').ip } })
  expect(decodeNtmv6(raw(ask(zone, box.name, 'UNKNOWN_65281')))).toMatchObject({
    ok: true,
    value: { ...common, vip: pair.vip6 },
  })
  const service = decodeNtmService(raw(ask(zone, `_ntm._udp.${box.name}`, 'UNKNOWN_64')))
  expect(service).toMatchObject({ ok: true, value: { node, port: 4330, fingerprint: w.network.root.fingerprint } })
  // Of the zone itself it names the coordinator; the key is what another zone's coordinator has to know to call it.
  const apex = decodeNtmService(raw(ask(zone, '_ntm._udp.ntm.example', 'UNKNOWN_64')))
  const { coordinator } = w.network
  const coordinatorKey = coordinator.static.public
  expect([service, apex]).toMatchObject([{ value: { coordinatorKey } }, { value: { coordinatorKey, port: 4330 } }])
  expect(apex).toMatchObject({ value: { node: coordinator.nodeId, hints4: [ep('198.51.100.1:1').ip] } })
  expect(ask(zone, '_udp.ntm.example', 'A')).toMatchObject({ rcode: 'NOERROR', answers: [] })
  for (const type of ['A', 'AAAA', 'MX', 'TXT']) {
    const answer = ask(zone, box.name, type)
    expect(answer, type).toMatchObject({ rcode: 'NOERROR', answers: [] })
    expect(answer.authorities, type).toMatchObject([{ type: 'SOA', ttl: 30 }])
  }
  expect(ask(zone, box.name, 'ANY').answers.length).toBe(1)
})

test('publish = "seed": real addresses and the NAT, once confirmed, as long as the box is there', () => {
  const { zone, w, box } = scene('seed')
  const open = w.member('open', ROLE_NODE, '[2001:db8::7]:4330')
  expect(ask(zone, box.name, 'A').answers).toMatchObject([{ data: '203.0.113.5' }])
  expect(ask(zone, open.name, 'AAAA').answers).toMatchObject([{ data: '2001:db8::7' }])
  expect(ask(zone, open.name, 'A').answers).toEqual([])
  const published = {
    real: ep('10.0.0.2:1').ip,
    outside: ep('203.0.113.5:1').ip,
    mappedPort: 61_001,
    locationVersion: 1,
  }
  expect(decodeNtmv4(raw(ask(zone, box.name, 'UNKNOWN_65280')))).toMatchObject({ ok: true, value: { published } })
  w.leave(box)
  expect(ask(zone, box.name, 'A').answers).toEqual([])
  expect(decodeNtmv4(raw(ask(zone, box.name, 'UNKNOWN_65280')))).toMatchObject({ ok: true, value: { published: null } })
})

test('what does not exist, what is only in between, what is not ours', () => {
  const { zone, w } = scene()
  w.member('deep.plant', ROLE_NODE, '192.0.2.7:4330')
  const tt = w.member('tt1', ROLE_TT, '198.51.100.9:4330')
  const missing = ask(zone, 'nobody.ntm.example', 'A')
  expect(missing).toMatchObject({ rcode: 'NXDOMAIN', flag_aa: true, answers: [] })
  expect(missing.authorities).toMatchObject([{ name: 'ntm.example', type: 'SOA', ttl: 30 }])
  for (const name of ['plant.ntm.example', '_udp.deep.plant.ntm.example', tt.name])
    expect(ask(zone, name, 'A'), name).toMatchObject({ rcode: 'NOERROR', answers: [] })
  expect(ask(zone, `_ntm._udp.${tt.name}`, 'UNKNOWN_64')).toMatchObject({ rcode: 'NXDOMAIN' })
  for (const name of ['example', 'other.example', 'xntm.example', 'www.iana.org'])
    expect(ask(zone, name, 'A'), name).toMatchObject({ rcode: 'REFUSED', flag_aa: false, authorities: [] })
  for (const type of ['AXFR', 'IXFR'] as const)
    expect(ask(zone, 'ntm.example', type, 'tcp')).toMatchObject({ rcode: 'REFUSED' })
})

test('a revoked box disappears; the serial rises', () => {
  const { zone, w, box } = scene()
  const serial = (): number => (ask(zone, 'ntm.example', 'SOA').answers[0] as { data: { serial: number } }).data.serial
  const before = serial()
  w.core.revoke(box.node, w.now)
  expect(ask(zone, box.name, 'UNKNOWN_65280')).toMatchObject({ rcode: 'NXDOMAIN' })
  expect(serial()).toBeGreaterThan(before)
})

test('updates, answers, rubbish: not implemented, ignored, ignored', () => {
  const { zone } = scene()
  const update = Buffer.from(query('ntm.example', 'SOA'))
  update.writeUInt16BE(5 << 11, 2)
  expect(dnsPacket.decode(Buffer.from(zone.answer(update, ASKER, 'udp', instant(0))!))).toMatchObject({
    rcode: 'NOTIMP',
  })
  const answer = Buffer.from(query('ntm.example', 'SOA'))
  answer.writeUInt16BE(0x8000, 2)
  expect(zone.answer(answer, ASKER, 'udp', instant(0))).toBeNull()
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      const out = zone.answer(bytes, ASKER, 'tcp', instant(0))
      if (out !== null) dnsPacket.decode(Buffer.from(out))
    }),
  )
})

test('never more bytes than the asker takes; over TCP as many as needed', () => {
  const nameServers = Array.from({ length: 40 }, (_, i) => `a-rather-long-name-of-a-server-${i}.elsewhere.example`)
  const { zone } = scene('private', { nameServers })
  for (const [udpPayloadSize, limit] of [[0, 512], [700, 700], [4096, 1232]] as const) {
    const out = zone.answer(query('ntm.example', 'NS', udpPayloadSize), ASKER, 'udp', instant(0))!
    expect(out.length).toBeLessThanOrEqual(limit)
    expect(dnsPacket.decode(Buffer.from(out))['flag_tc']).toBe(true)
  } // biome-ignore format: pairs
  expect(ask(zone, 'ntm.example', 'NS', 'tcp')).toMatchObject({ flag_tc: false, answers: { length: 40 } })
})

test('a flood from one network gets half truncated answers, no larger than the questions, and half nothing', () => {
  const { zone } = scene()
  const ask100 = (from: string, now: Instant) => {
    const outs = Array.from({ length: 100 }, () =>
      zone.answer(query('plc.ntm.example', 'UNKNOWN_65280', 1232), parseIp(from)!, 'udp', now),
    )
    const got = outs.filter((o) => o !== null)
    const cut = got.filter((o) => dnsPacket.decode(Buffer.from(o))['flag_tc'])
    for (const o of cut) expect(o.length).toBeLessThanOrEqual(query('plc.ntm.example', 'UNKNOWN_65280', 1232).length)
    return [got.length - cut.length, cut.length]
  }
  expect(ask100('192.0.2.1', instant(0))).toEqual([50, 25])
  expect(ask100('192.0.2.77', instant(0))).toEqual([0, 50])
  expect(ask100('192.0.3.77', instant(0))).toEqual([50, 25])
  expect(ask100('2001:db8:0:ff00::1', instant(0))).toEqual([50, 25])
  expect(ask100('2001:db8:0:ff11::2', instant(0))).toEqual([0, 50])
  expect(ask100('192.0.2.1', instant(500))).toEqual([25, 38])
  expect(ask(zone, 'ntm.example', 'SOA', 'tcp')).toMatchObject({ rcode: 'NOERROR' })
})

function scene(publish: 'private' | 'seed' = 'private', change = {}) {
  const w = new CoordinatorWorld(undefined, { publish, ...change })
  const box = w.member('plc', ROLE_BRIDGE, '203.0.113.5:61001', ['10.0.0.2:4330'])
  return { w, box, zone: zoneOf(w) }
}
