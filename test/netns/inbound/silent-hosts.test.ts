import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import { until } from '#lab/process.ts'
import { dhcpClient } from '#lab/services.ts'
import { describeLab } from '#test/support/lab.ts'
import { nameOf, pause, Rig } from './rig.ts'

// What a bridge knows of hosts that say nothing: after its own restart, after theirs, and when they are gone.

const B = nameOf('b')

describeLab('hosts that say nothing', () => {
  let rig: Rig
  beforeAll(async () => {
    rig = await Rig.up({ kinds: { a: 'none', b: 'full-cone' }, hosts: { b: 'off' }, ip6: false })
  })
  afterAll(() => rig?.dispose())
  /** A bridge that was away needs a moment: the far one learns of it by its first packets. */
  const answers = (what: string, name: string): Promise<true> =>
    until(`${what} answers`, async () => ((await rig.ping('hosta', name)) === 3 ? true : null), 10_000)
  const vip = async (): Promise<string> => (await rig.ask('hosta', B)).answers

  test('before there is a host, its name is not there: said at once, and found as soon as it is switched on', async () => {
    const none = await rig.ask('hosta', B)
    expect(none.status).toMatch(/SERVFAIL|NXDOMAIN/)
    expect(none.ms).toBeLessThan(2500)
    await rig.scene.boot('b')
    await rig.warm('a', B)
    expect(await rig.ping('hosta', B)).toBe(3)
  })

  test('a host without IPv6 is not offered in IPv6', async () => {
    expect(await rig.ask('hosta', B, 'AAAA')).toMatchObject({ status: 'NOERROR', answers: '' })
  })

  test('the bridge is killed and started again: its host is remembered, asked for, and reached', async () => {
    const before = await vip()
    const { host } = rig.scene.sites.b
    const [address] = await rig.scene.addresses(host, 'eth0', 4)
    await rig.remembered('b', `${address}`)
    // The host's router has no reason to ask in the bridge's place.
    const link = (await rig.on(host, 'cat', '/sys/class/net/eth0/address')).trim()
    rig.scene.lab.ip(rig.scene.sites.b.router, `neigh replace ${address} lladdr ${link} dev lan0 nud permanent`)
    const ear = rig.scene.lab.spawn('hostb', 'ear', 'tcpdump', ['-l', '-n', '-e', '-i', 'eth0', '-Q', 'in', 'arp'])
    await ear.line(/listening on/)
    await rig.restart('b')
    // To the host alone, not to everybody.
    expect(await ear.line(new RegExp(`who-has ${address} `), 5000)).toContain(`> ${link},`)
    await answers('the host', B)
    expect(await vip()).toBe(before)
    // Asked by unicast, and answered: no need to ask on.
    const asked = (): number => ear.text().split(`who-has ${address} `).length
    const times = asked()
    await pause(2500)
    expect(asked()).toBe(times)
  })

  test('another address by DHCP: the same name, the same virtual pair', async () => {
    const before = await vip()
    const { lab } = rig.scene
    const [old] = await rig.scene.addresses('hostb', 'eth0', 4)
    // To the server it is another client, as a machine is after its system was set up anew.
    const client = [
      '-f',
      '-q',
      '-n',
      '-i',
      'eth0',
      '-s',
      join(ROOT, 'lab/udhcpc.sh'),
      '-x',
      'hostname:hostb',
      '-x',
      '0x3d:ff0102030405',
    ]
    const resolv = join('/etc/netns', lab.netns('hostb'), 'resolv.conf')
    await lab.must('hostb', 'busybox', ['udhcpc', ...client], { env: { ...process.env, LAB_RESOLV_CONF: resolv } })
    const [now] = await rig.scene.addresses('hostb', 'eth0', 4)
    expect(now).not.toBe(old)
    // Nobody speaks for the host: what the bridge saw of DHCP must do.
    expect(await rig.ping('hosta', B)).toBe(3)
    expect(await vip()).toBe(before)
  })

  test('a second host behind the same bridge has a name and addresses of its own, and nobody loses theirs', async () => {
    const before = await vip()
    await rig.scene.guest('b', 'hmi')
    await rig.warm('a', `hmi.${B}`)
    expect((await rig.ask('hosta', `hmi.${B}`)).answers).not.toBe(before)
    expect(await rig.ping('hosta', `hmi.${B}`)).toBe(3)
    expect(await rig.ping('hosta', B)).toBe(3)
    // It speaks to a host whose path its contract does not list: that is asked for, and meanwhile nothing is lost.
    expect(await rig.ping('hmi', nameOf('a'))).toBe(3)
    await rig.remembered('b', 'hmi')
  })

  test('the other bridge dies: names are SERVFAIL in time, and it is found again when it is back', async () => {
    await rig.kill('b')
    const got = await rig.ask('hosta', `other.${B}`)
    expect([got.status, got.ms < 2500]).toEqual([expect.stringMatching(/SERVFAIL|NXDOMAIN/), true])
    await rig.start('b')
    await answers('the host', B)
  })

  test('a host that is pulled out is not there any more after the next start, and is when it is plugged in again', async () => {
    rig.scene.lab.ip('hostb', 'link set eth0 down')
    await rig.restart('b')
    // Asked for four times in three seconds; names live for a minute at the far end, but this one was not asked for yet.
    await pause(6000)
    const gone = await until(
      'the name is gone',
      async () => {
        const { status } = await rig.ask('hosta', `hostb.${B}`)
        return status === 'NOERROR' ? null : status
      },
      10_000,
    )
    expect(gone).toMatch(/SERVFAIL|NXDOMAIN/)
    rig.scene.lab.ip('hostb', 'link set eth0 up')
    await dhcpClient(rig.scene.lab, 'hostb', 'eth0')
    await rig.warm('a', `hostb.${B}`)
  })
})
