import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Lab, ROOT } from '#lab/netns.ts'
import { until } from '#lab/process.ts'
import { describeLab } from '#test/support/lab.ts'
import {
  bothWays,
  frame,
  heardFrames,
  listen,
  sendFrames,
  unusualFrames,
  type WireEnd,
} from '#test/support/raw-frames.ts'

// host eth0 ── host0 [ box, bridge-up.sh ] net0 ── eth0 net
// Neither end has an address or speaks IPv6, so every frame seen on either wire was sent by a test, or by the box.

describeLab('board/common/bridge-up.sh', () => {
  test('the box says nothing on either wire, from link-up on', async () => {
    const lab = cabled()
    const ears = ENDS.map((end) => listen(lab, end))
    await Promise.all(ears.map((one) => one.line(/^listening/)))
    await bridgeUp(lab)
    // Proves that the ears hear: one frame from each end, which the other end must get.
    await sendFrames(lab, AT_HOST, [frame('ffffffffffff', HOST, '88b5', '70726f6265')])
    await sendFrames(lab, AT_NET, [frame('ffffffffffff', NET, '88b5', '70726f6265')])
    await Promise.all(ears.map((one) => one.line(/88b5/)))
    // Router solicitations and MLD reports would come within the first second or two.
    await lab.run('box', 'sleep', ['2.5'])
    for (const one of ears) expect(heardFrames(one.text()).filter((hex) => !hex.includes('88b5'))).toEqual([])
  })

  test('passes what an ordinary Linux bridge keeps: BPDU, LACP, EAPOL, LLDP, tags, unknown types', async () => {
    const lab = cabled()
    await bridgeUp(lab)
    await bothWays(lab, ENDS, unusualFrames(HOST))
  })

  test('passes jumbo frames', async () => {
    const lab = cabled(9000)
    await bridgeUp(lab)
    await bothWays(lab, ENDS, [frame('ffffffffffff', HOST, '88b5', 'aa'.repeat(9000))])
  })

  test('applied twice is the same as once, and keeps its own address', async () => {
    const lab = cabled()
    await bridgeUp(lab)
    const shown = () => lab.must('box', 'ip', ['-d', '-o', 'link', 'show', 'br0'])
    const once = (await shown()).replace(/gc_timer +[\d.]+/, '')
    expect(once).toContain('mtu 1500')
    await bridgeUp(lab)
    expect((await shown()).replace(/gc_timer +[\d.]+/, '')).toBe(once)
    const address = async (link: string) => (await lab.must('box', 'cat', [`/sys/class/net/${link}/address`])).trim()
    expect(await address('br0')).toBe(await address('net0'))
  })

  test('says how it is used when called without ports', async () => {
    const lab = cabled()
    const done = await lab.run('box', 'sh', [join(ROOT, 'board/common/bridge-up.sh')])
    expect(done.code).not.toBe(0)
    expect(done.stderr).toContain('usage: bridge-up.sh HOST_PORT NET_PORT')
  })
})

const HOST = '02000000aa01'
const NET = '02000000bb01'
const AT_HOST: WireEnd = { room: 'host', link: 'eth0', addr: HOST }
const AT_NET: WireEnd = { room: 'net', link: 'eth0', addr: NET }
const ENDS = [AT_HOST, AT_NET] as const

function cabled(mtu = 1500): Lab {
  const lab = new Lab()
  onTestFinished(() => lab.dispose())
  const mute = { 'net.ipv6.conf.all.disable_ipv6': 1, 'net.ipv6.conf.default.disable_ipv6': 1 }
  lab.room('host', mute)
  lab.room('net', mute)
  lab.room('box')
  lab.cable(['host', 'eth0'], ['box', 'host0'], { mtu, leaveDown: ['box'] })
  lab.cable(['box', 'net0'], ['net', 'eth0'], { mtu, leaveDown: ['box'] })
  return lab
}

/** Runs the script and waits until both ports forward: the kernel looks at a new carrier up to a second later. */
async function bridgeUp(lab: Lab): Promise<void> {
  await lab.must('box', 'sh', [join(ROOT, 'board/common/bridge-up.sh'), 'host0', 'net0'])
  await until('both ports forwarding', async () => {
    const ports = JSON.parse(await lab.must('box', 'bridge', ['-j', 'link'])) as { state: string }[]
    return ports.length === 2 && ports.every((port) => port.state === 'forwarding') ? true : null
  })
}
