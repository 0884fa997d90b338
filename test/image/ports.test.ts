import { expect, test } from 'vitest'
import { pause, until } from '#lab/process.ts'
import { bothPorts, IN_LINE, type InLine } from '#lab/scenes/box-in-line.ts'
import { describeImage, LanNetwork, lineForTest, pingThrough, SAYS, tell, wireUp } from '#test/support/image.ts'
import { bothWays, frame, unusualFrames, type WireEnd } from '#test/support/raw-frames.ts'

// host 192.168.77.9 eth0 ── host0 [ box ] net0 ── lan0 192.168.77.1
// The ports are what varies: their kind, their order on the bus, whether they are there when power comes.

const { net, host } = IN_LINE.linkAddr
const HOST_END: WireEnd = { room: 'host', link: IN_LINE.host.link, addr: '02000000aa01' }
const LAN_END: WireEnd = { room: 'lan', link: IN_LINE.lan.link, addr: '02000000bb01' }

describeImage('network ports of a box', 'x86_64', () => {
  test.each(['e1000e', 'virtio-net-pci'] as const)('two of %s: the host’s LAN is as without a box', async (model) => {
    const scene = await lineForTest({ model })
    await scene.vm.start()
    await wireUp(scene.vm)
    expect(await pingThrough(scene, 50)).toBeGreaterThanOrEqual(49)
    // Nothing on the host tells of the box: the LAN's link address is the LAN's own.
    const lan = await scene.lab.must('lan', 'cat', ['/sys/class/net/lan0/address'])
    expect(await scene.lab.must('host', 'ip', ['neigh', 'show', IN_LINE.lan.ip4])).toContain(lan.trim())
    const big = ['-n', '-c', '3', '-M', 'do', '-s', '1472', '-W', '2', IN_LINE.lan.ip4]
    expect((await scene.lab.run('host', 'ping', big)).stdout).toContain(' 3 received')
    // What is no IP passes as well, and so does a full-sized frame of a VLAN.
    const vlan = frame('ffffffffffff', HOST_END.addr, '8100', `006488b5${'aa'.repeat(1500)}`)
    await bothWays(scene.lab, [HOST_END, LAN_END], [...unusualFrames(HOST_END.addr), vlan])
  })

  test.each([
    { model: 'virtio-net-pci', is: 'a card' },
    { model: 'usb-net', is: 'a USB adapter' },
  ] as const)('the second port is missing: the box says so, and bridges when $is comes', async ({ model }) => {
    const nics = bothPorts().map((nic) => (nic.link === 'host0' ? { ...nic, model, absent: true } : nic))
    const scene = await lineForTest({ nics })
    const network = await LanNetwork.start(scene)
    scene.vm.disk.fat('boot').write(await network.bridgeFiles(scene))
    await scene.vm.start()
    await scene.vm.until(SAYS.ready('bridge'))
    await scene.vm.until(/ntm-wire: one-port: .*net0.* plugged in/)
    expect(await scene.shell.state('wire')).toMatchObject({ state: 'one-port', net: 'net0', host: '' })
    expect(await pingThrough(scene, 2)).toBe(0)
    const since = scene.vm.mark()
    const begun = performance.now()
    await scene.vm.plugNic('host0')
    await until('a way through', async () => ((await pingThrough(scene, 1)) === 1 ? true : null), 120_000, 200)
    tell(`a port that was plugged in carries frames ${((performance.now() - begun) / 1000).toFixed(1)} s later`)
    await scene.vm.until(SAYS.wire, { since })
    expect(await scene.shell.state('wire')).toMatchObject({ state: 'forwarding', why: '' })
  })

  test('a port is pulled out and put back', async () => {
    const scene = await running()
    await scene.vm.pullNic('host0')
    await wire(scene, /one-port|no-host-port/)
    await scene.vm.plugNic('host0')
    await wire(scene, /forwarding/)
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
  })

  test('a cable is taken out and put back', async () => {
    const scene = await running()
    await scene.vm.cable('host0', false)
    await wire(scene, /no-cable/)
    expect(await pingThrough(scene, 2)).toBe(0)
    await scene.vm.cable('host0', true)
    await wire(scene, /forwarding/)
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
  })

  test('ports that change places on the bus keep what they are: the box remembers their addresses', async () => {
    const scene = await running()
    await scene.shell.must('sync')
    await scene.vm.stop()
    const since = scene.vm.mark()
    await scene.vm.start({ nics: [...bothPorts()].reverse() })
    await scene.vm.until(SAYS.ready('bridge'), { since })
    await placed(scene)
  })

  test('ports in the wrong order are told apart by the configuration', async () => {
    const scene = await running({ ports: { host, net }, reversed: true })
    await placed(scene)
    // From the next start on, also before anything reads the configuration.
    const since = scene.vm.mark()
    await scene.shell.run('reboot')
    await scene.vm.until(SAYS.ready('bridge'), { since })
    await placed(scene)
  })
})

async function running({
  ports,
  reversed = false,
}: {
  ports?: { host: string; net: string }
  reversed?: boolean
} = {}): Promise<InLine> {
  const scene = await lineForTest(reversed ? { nics: [...bothPorts()].reverse() } : {})
  const network = await LanNetwork.start(scene)
  scene.vm.disk.fat('boot').write(await network.bridgeFiles(scene, ports === undefined ? {} : { ports }))
  await scene.vm.start()
  await scene.vm.until(SAYS.ready('bridge'))
  return scene
}

/** net0 and host0 are on the side their names say. */
async function placed(scene: InLine): Promise<void> {
  await until(
    'the ports in their places',
    async () => {
      const [a, b] = [await address(scene, 'net0'), await address(scene, 'host0')]
      return a === net && b === host ? true : null
    },
    120_000,
    1000,
  )
  expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
}

const address = async ({ shell }: InLine, port: string): Promise<string> =>
  (await shell.must(`cat /sys/class/net/${port}/address`)).trim()

async function wire(scene: InLine, state: RegExp): Promise<void> {
  await until(
    `the wire is ${state}`,
    async () => (state.test((await scene.shell.state('wire'))['state'] ?? '') ? true : null),
    120_000,
    1000,
  )
  // A bridge learns anew which side a host is on.
  await pause(500)
}
