import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BIG_BYTES, sha256 } from '#lab/content.ts'
import { PLACE } from '#lab/scenes/v4-host-to-v6-server.ts'
import { describeLab } from '#test/support/lab.ts'
import { type Ear, Rig } from './box.ts'
import { HOST_SIDE, NET_SIDE, strangers } from './frames.ts'

// Whatever the program on the box does or fails to do, frames that are not its business cross the box as on a cable.

describeLab('what is not ours passes the box untouched', () => {
  let rig: Rig
  let ears: Record<'host' | 'net', Ear>
  let mark = 0
  let whole: string

  beforeAll(async () => {
    rig = await Rig.build()
    const { lab } = rig.scene
    // A LAN that speaks IPv6 as well, of addresses that give no way out, and carries jumbo frames.
    lab.ip('host', `link set ${PLACE.host.link} mtu 9000`, 'addr add fd00:77::5/64 dev eth0')
    lab.ip('neighbour', 'addr add fd00:77::9/64 dev eth0')
    lab.ip('router', 'link set lan1 mtu 9000')
    ears = { host: await rig.ear('host'), net: await rig.ear('net') }
    const direct = join(lab.dir, 'direct')
    await lab.must('neighbour', 'curl', ['-sS', '--fail', ...PART, '-o', direct, URL])
    whole = await sha256(direct)
  })
  afterAll(() => rig?.scene.dispose())

  test('the program was never started', async () => {
    await everythingPasses()
    // The box keeps its own broadcasts from the host, not its answers.
    const box = (await rig.scene.address4('bridge', PLACE.bridge.bridge)) ?? ''
    const ping = await rig.scene.lab.run('host', 'ping', ['-c2', '-i0.1', '-W2', box])
    expect(ping.stdout).toContain(' 2 received')
  })

  test('the program runs', async () => {
    await rig.start()
    expect(await rig.page()).toContain(PLACE.web6.name)
    await everythingPasses()
  })

  test('the program is frozen (SIGSTOP), from its first moment', async () => {
    rig.freeze()
    await everythingPasses()
  })

  test('the program runs again (SIGCONT)', async () => {
    rig.thaw()
    await everythingPasses()
    expect(await rig.page()).toContain(PLACE.web6.name)
  })

  test('the program was killed (SIGKILL)', async () => {
    await rig.kill()
    await everythingPasses()
  })

  test('the program was started again and then stopped in order', async () => {
    await rig.start()
    expect(await rig.page()).toContain(PLACE.web6.name)
    await rig.program?.stop(10_000)
    expect(await rig.program?.exited).toBe(0)
    await everythingPasses()
  })

  async function everythingPasses(): Promise<void> {
    await Promise.all([rawFrames('host', 'net'), rawFrames('net', 'host'), lease(), ipv6()])
    await tcp()
  }

  /** Byte for byte, in order, once each. */
  async function rawFrames(from: 'host' | 'net', to: 'host' | 'net'): Promise<void> {
    const [sender, receiver] = from === 'host' ? [HOST_SIDE, NET_SIDE] : [NET_SIDE, HOST_SIDE]
    const sent = strangers(sender, receiver, ++mark)
    const before = (await ears[to].from(sender, 0)).length
    await rig.say(
      from,
      sent.map((s) => s.frame),
    )
    const got = (await ears[to].from(sender, before + sent.length)).slice(before)
    const title = (hex: string): string => sent.find((s) => s.frame.toString('hex') === hex)?.title ?? hex
    expect(got.map(title), `${from} → ${to}`).toEqual(sent.map((s) => s.title))
  }

  /** A new client gets a lease of its own: discover, offer, request, acknowledgement. */
  async function lease(): Promise<void> {
    const id = `0x3d:ff${(++mark).toString(16).padStart(8, '0')}`
    const args = [
      'udhcpc',
      '-n',
      '-q',
      '-f',
      '-i',
      PLACE.host.link,
      '-s',
      '/bin/true',
      '-t',
      '5',
      '-T',
      '1',
      '-C',
      '-x',
      id,
    ]
    const said = await rig.scene.lab.run('host', 'busybox', args)
    expect(said.stderr + said.stdout).toMatch(/lease of 192\.168\.77\.1\d\d obtained/)
  }

  /** Both sides must find each other anew: solicitation, advertisement, then ordinary packets. */
  async function ipv6(): Promise<void> {
    const { lab } = rig.scene
    for (const room of ['host', 'neighbour'] as const) lab.ip(room, 'neigh flush dev eth0')
    const ping = await lab.run('host', 'ping', ['-6', '-c3', '-i0.1', '-W2', '-s', '1400', 'fd00:77::9'])
    expect(ping.stdout).toContain(' 3 received, 0% packet loss')
    const back = await lab.run('neighbour', 'ping', ['-6', '-c2', '-i0.1', '-W2', 'fd00:77::5'])
    expect(back.stdout).toContain(' 2 received, 0% packet loss')
  }

  async function tcp(): Promise<void> {
    const file = join(rig.scene.lab.dir, `part-${++mark}`)
    await rig.scene.lab.must('host', 'curl', ['-sS', '--fail', ...PART, '-o', file, URL])
    expect(await sha256(file)).toBe(whole)
  }
})

const URL = `http://${PLACE.web4.ip4}/100m.bin`
const PART = ['--max-time', '20', '-r', `0-${BIG_BYTES / 5 - 1}`] as const
