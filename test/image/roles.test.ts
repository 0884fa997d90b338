import { expect, test } from 'vitest'
import { bothPorts, IN_LINE, type InLine } from '#lab/scenes/box-in-line.ts'
import { boxFiles } from '#lab/vm/box-files.ts'
import { describeImage, inLineAppliance, LanNetwork, lineForTest, SAYS } from '#test/support/image.ts'

// [ box, one port ] net0 192.168.77.50 ── lan0 192.168.77.1: coordinator (but where the box is one)
// What is common to all roles but the bridge: one port with an address, the rest of the box as ever.

const onePort = () => lineForTest({ nics: bothPorts().slice(0, 1) })

describeImage('roles of one image', 'x86_64', () => {
  test('a TT: registered, with its rules in nftables', async () => {
    const scene = await onePort()
    const network = await LanNetwork.start(scene)
    scene.vm.disk.fat('boot').write(
      boxFiles({
        role: 'tt',
        settings: { 'tt.uplink': 'net0', 'tt.resolvers': [IN_LINE.lan.ip4], 'tt.allow': ['192.168.77.0/24'] },
        appliance: appliance(scene),
        token: await network.token('tt1', 'tt'),
      }),
    )
    await scene.vm.start()
    await scene.vm.until(SAYS.ready('tt'))
    await scene.vm.until(SAYS.good('A'))
    expect(await status(scene, 'tt')).toMatch(/"role":\s*"tt"/)
    expect(await scene.shell.must('nft list ruleset')).toMatch(/masquerade|snat/)
    expect(await scene.shell.must('ip -o addr show dev net0')).toContain(`${IN_LINE.box.ip4}/24`)
    // It forwards between the tunnel's device and net0, and nowhere else; its unit may write only what is the network's below /proc/sys.
    expect(await scene.shell.must(FORWARDING)).toBe('1 1 0\n')
    const mounts = await scene.shell.must(
      'grep " /proc/sys" /proc/$(systemctl show -p MainPID --value ntm.service)/mounts',
    )
    expect(mounts).toMatch(/ \/proc\/sys proc ro,/)
    expect(mounts).toMatch(/ \/proc\/sys\/net proc rw,/)
    expect(await scene.shell.must('journalctl -u ntm.service -p warning -o cat --no-pager')).not.toMatch(
      /sysctl|EACCES|EPERM|EROFS/,
    )
  })

  test('a relay', async () => {
    const scene = await onePort()
    const network = await LanNetwork.start(scene)
    scene.vm.disk.fat('boot').write(
      boxFiles({
        role: 'relay',
        settings: { 'relay.endpoints': [`${IN_LINE.box.ip4}:4330`] },
        appliance: appliance(scene),
        token: await network.token('relay1', 'relay'),
      }),
    )
    await scene.vm.start()
    await scene.vm.until(SAYS.ready('relay'))
    expect(await status(scene, 'relay')).toMatch(/"role":\s*"relay"/)
  })

  test('a coordinator, whose network was made elsewhere: its keys are gone from the medium, its DNS answers', async () => {
    const scene = await onePort()
    const network = await LanNetwork.prepare(scene, IN_LINE.box.ip4)
    const files = network.coordinatorFiles(appliance(scene))
    scene.vm.disk.fat('boot').write(files)
    await scene.vm.start()
    await scene.vm.until(SAYS.ready('coordinator'))
    expect(await status(scene, 'coordinator')).toMatch(/"role":\s*"coordinator"/)
    const answer = await scene.lab.must('lan', 'dig', ['+tries=2', `@${IN_LINE.box.ip4}`, 'ntm.example', 'SOA'])
    expect(answer).toMatch(/status: NOERROR/)
    await scene.shell.must('sync')
    await scene.vm.stop()
    const seed = /"(?:seed|secret|private)\w*":\s*"([^"]{16,})"/.exec(String(files['network/network.json']))?.[1] ?? ''
    expect(seed).not.toBe('')
    // The root's key is the operator's to move, who may have no other copy; the box has none of it, and says so.
    expect(scene.vm.disk.fat('boot').list('network')).toEqual(['network/root.json'])
    expect(scene.vm.disk.fat('boot').text('ntm-report.txt')?.replaceAll(/\s+/g, ' ')).toMatch(
      /root\.json was neither .*move it/,
    )
    expect(scene.vm.disk.readRaw('boot').includes(seed)).toBe(false)
  })

  test('one box changes its role by its next stick', async () => {
    const scene = await onePort()
    const network = await LanNetwork.start(scene)
    scene.vm.disk
      .fat('boot')
      .write(boxFiles({ role: 'relay', appliance: appliance(scene), token: await network.token('relay1', 'relay') }))
    await scene.vm.start()
    await scene.vm.until(SAYS.ready('relay'))
    const settings = { 'tt.uplink': 'net0', 'tt.resolvers': [IN_LINE.lan.ip4] }
    await scene.shell.must('sync')
    await scene.vm.stop()
    scene.vm.disk
      .fat('boot')
      .write(boxFiles({ role: 'tt', settings, appliance: appliance(scene), token: await network.token('tt1', 'tt') }))
    const since = scene.vm.mark()
    await scene.vm.start()
    await scene.vm.until(SAYS.ready('tt'), { since })
  })
})

/** Of the tunnel's device, net0, and what a port has that came later. */
const FORWARDING = 'cd /proc/sys/net/ipv4/conf; echo $(cat ntm0/forwarding net0/forwarding default/forwarding)'

const appliance = (scene: InLine) => inLineAppliance(scene, { gateway: IN_LINE.lan.ip4, resolvers: [IN_LINE.lan.ip4] })

const status = ({ shell }: InLine, role: string): Promise<string> =>
  shell.must(`ntm status --json --socket /run/ntm/${role}.sock`)
