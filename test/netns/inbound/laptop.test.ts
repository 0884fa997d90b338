import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BIG_SHA256, bigFile, sha256 } from '#lab/content.ts'
import { ZONE } from '#lab/scenes/two-bridges.ts'
import { pageOf } from '#lab/services.ts'
import { describeLab } from '#test/support/lab.ts'
import { KEYS_PORT, nameOf, Rig } from './rig.ts'

// A node behind a symmetric NAT and an old host behind a bridge behind another NAT, which never asked anybody for anything: only a relay joins them.

const B = nameOf('b')

describeLab('from a laptop to a host behind a bridge', () => {
  let rig: Rig
  beforeAll(async () => {
    const kinds = { a: 'none', b: 'port-restricted' } as const
    rig = await Rig.up({ kinds, hosts: { b: 'off' }, laptop: 'symmetric', relays: 1 })
    await rig.scene.boot('b')
    await rig.serve('b')
    await rig.scene.startNode()
  })
  afterAll(() => rig?.dispose())

  test('by name, in both families', async () => {
    expect(await rig.on('laptop', 'curl', '-sS', '--max-time', '10', `http://${B}/`)).toBe(pageOf(B).trim())
    for (const family of ['-4', '-6']) expect(await rig.ping('laptop', B, family)).toBe(3)
  })

  test('a hundred megabytes each way, whole, and a terminal', async () => {
    const curl = (...args: string[]): Promise<string> =>
      rig.on('laptop', 'curl', '-sS', '--fail', '--max-time', '80', ...args)
    const got = join(rig.scene.lab.dir, 'got')
    expect(await curl('-o', got, `http://${B}/100m.bin`)).toBe('')
    expect(await sha256(got)).toBe(BIG_SHA256)
    expect(await curl('-T', bigFile(), `http://${B}/upload/put`)).toBe('')
    expect(await sha256(join(rig.uploads, 'put'))).toBe(BIG_SHA256)
    const typed = rig.program('laptop', 'type', 'tcp-keys.ts', 'type', B, `${KEYS_PORT}`, '40')
    expect(await typed.line(/^keys\.done/, 20_000)).toContain('keys.done 40')
  })

  test('and back: the host reaches the laptop by its name', async () => {
    // Who came, it can look up without having asked for the name: many a server does.
    const own = (await rig.scene.addresses('laptop', 'ntm0', 4))[0] ?? ''
    expect((await rig.ask('hostb', own, 'PTR')).answers).toBe(`laptop.${ZONE}.`)
    expect(await rig.ping('hostb', `laptop.${ZONE}`)).toBe(3)
  })

  test('the status of everybody: why the path is relayed, who is behind the bridge', async () => {
    const { programs, lab } = rig.scene
    const relayed = { state: 'open', way: 'relay', why: 'both-natted', at: `${rig.scene.relays[0]?.ip4}:4330` }
    const laptop = await programs.status('laptop', 'laptop')
    expect(laptop).toMatchObject({ role: 'node', paths: [{ peer: B, ...relayed }] })
    const bridge = await programs.status('bridgeb', 'bridge-b')
    expect(bridge).toMatchObject({
      ...{ role: 'bridge', name: B, zones: [ZONE], coordinator: { state: 'registered', lastError: null } },
      wire: { state: 'up', host: 'host0', net: 'net0', missing: null },
      paths: [{ peer: `laptop.${ZONE}`, ...relayed }],
    })
    const real = await rig.scene.addresses('hostb', 'eth0', 4)
    expect(bridge['hosts']).toMatchObject([
      { name: 'hostb', heard: true, real: expect.arrayContaining(real), families: [4, 6] },
    ])
    const relay = await programs.status('relay1', 'relay1')
    expect(relay).toMatchObject({ role: 'relay', forwarding: { paths: 1, bound: 2, pending: 0, mostPaths: 4096 } })
    expect(JSON.stringify(relay)).not.toContain('"datagrams":0')
    const coordinator = await programs.status('coordinator', 'coordinator')
    expect(coordinator).toMatchObject({ role: 'coordinator', zones: [ZONE], relayed: 1, optimise: 'ice' })
    expect((coordinator['members'] as { present: unknown[] }).present).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: B, role: 'bridge', ip4: 'natted', hosts: 1 }),
        expect.objectContaining({ name: `laptop.${ZONE}`, role: 'node', ip4: 'natted' }),
        expect.objectContaining({ role: 'relay', ip4: 'open', ip6: 'unproven', paths: 1 }),
      ]),
    )
    const told = await programs.ntm('laptop', ['ping', B, '--count', '2', '--socket', programs.socket('laptop')])
    expect(told).toContain('2 received')
    expect(told).toContain('why a relay: both ends are behind NATs')
    for (const home of ['bridge-b', 'relay1', 'coordinator'])
      expect((await lab.must('laptop', 'stat', ['-c', '%a', programs.socket(home)])).trim()).toBe('600')
  })

  test('the bridge says who reached whom, and by which way', () => {
    const told = rig.lines('b').filter((l) => l.event.startsWith('inbound.'))
    expect(told).toContainEqual(
      expect.objectContaining({ event: 'inbound.asked', peer: `laptop.${ZONE}`, host: 'hostb' }),
    )
    expect(told).toContainEqual(expect.objectContaining({ event: 'inbound.way', peer: `laptop.${ZONE}`, way: 'relay' }))
  })
})
