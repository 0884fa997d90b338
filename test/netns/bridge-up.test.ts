import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Lab, ROOT } from '#lab/netns.ts'
import { until } from '#lab/process.ts'
import { describeLab } from '#test/support/lab.ts'

// host eth0 ── host0 [ box, bridge-up.sh ] net0 ── eth0 net
// Neither end has an address or speaks IPv6, so every frame seen on either wire was sent by a test, or by the box.

describeLab('board/common/bridge-up.sh', () => {
  test('the box says nothing on either wire, from link-up on', async () => {
    const lab = cabled()
    const ears = [ear(lab, 'host'), ear(lab, 'net')]
    await Promise.all(ears.map((one) => one.line(/^listening/)))
    await bridgeUp(lab)
    // Proves that the ears hear: one frame from each end, which the other end must get.
    await send(lab, 'host', [frame('ffffffffffff', HOST, '88b5', 'probe')])
    await send(lab, 'net', [frame('ffffffffffff', NET, '88b5', 'probe')])
    await Promise.all(ears.map((one) => one.line(/88b5/)))
    // Router solicitations and MLD reports would come within the first second or two.
    await lab.run('box', 'sleep', ['2.5'])
    for (const one of ears) expect(heard(one.text()).filter((hex) => !hex.includes('88b5'))).toEqual([])
  })

  test('passes what an ordinary Linux bridge keeps: BPDU, LACP, EAPOL, LLDP, tags, unknown types', async () => {
    const lab = cabled()
    await bridgeUp(lab)
    await bothWays(lab, [
      frame('0180c2000000', HOST, '0026', '424203'),
      frame('0180c2000002', HOST, '8809', '0101'),
      frame('0180c2000003', HOST, '888e', '01010000'),
      frame('0180c200000e', HOST, '88cc', '0207'),
      frame('01000ccccccc', HOST, '0030', 'aaaa03'),
      frame('010ecf000000', HOST, '8892', 'fefe'),
      frame('ffffffffffff', HOST, '8100', '0064080045'),
      frame('ffffffffffff', HOST, '8100', 'e000080600'),
      frame('ffffffffffff', HOST, '88a8', '0064810000650800'),
      frame('ffffffffffff', HOST, '8863', '1109'),
      frame('01005e0000fb', HOST, '0800', '4500'),
      frame('3333000000fb', HOST, '86dd', '6000'),
      frame('ffffffffffff', HOST, 'abcd', 'ef'),
    ])
  })

  test('passes jumbo frames', async () => {
    const lab = cabled(9000)
    await bridgeUp(lab)
    await bothWays(lab, [frame('ffffffffffff', HOST, '88b5', 'aa'.repeat(9000))])
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

/** A whole frame as hex, padded to 60 bytes. */
const frame = (to: string, from: string, type: string, payload: string): string =>
  `${to}${from}${type}${payload === 'probe' ? '70726f6265' : payload}`.padEnd(120, '0')

async function bothWays(lab: Lab, frames: readonly string[]): Promise<void> {
  const back = frames.map((hex) => hex.slice(0, 12) + NET + hex.slice(24))
  for (const [from, to, sent] of [
    ['host', 'net', frames],
    ['net', 'host', back],
  ] as const) {
    const there = ear(lab, to)
    await there.line(/^listening/)
    await send(lab, from, sent)
    // Each once, byte for byte, in order.
    await until(
      `${sent.length} frames at ${to}`,
      () => (heard(there.text()).length >= sent.length ? true : null),
      20_000,
    )
    expect(heard(there.text())).toEqual(sent)
    await there.stop()
  }
}

let ears = 0
/** Prints every frame that arrives in a room as hex, VLAN tags put back where the kernel took them out. */
const ear = (lab: Lab, room: string) => lab.spawn(room, `ear-${room}-${++ears}`, 'python3', ['-u', '-c', EAR])
const send = (lab: Lab, room: string, frames: readonly string[]) =>
  lab.must(room, 'python3', ['-c', MOUTH], { input: frames.join('\n') })
const heard = (text: string): string[] => text.split('\n').filter((line) => /^[0-9a-f]{28,}$/.test(line))

const EAR = `
import socket, struct
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.setsockopt(263, 8, 1)  # PACKET_AUXDATA
s.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING
s.bind(('eth0', 0))
print('listening')
while True:
    frame, aux, _, _ = s.recvmsg(65536, 256)
    for level, kind, data in aux:
        status, _, _, _, _, tci, tpid = struct.unpack('IIIHHHH', data[:20])
        if status & 0x10: frame = frame[:12] + struct.pack('!HH', tpid if status & 0x40 else 0x8100, tci) + frame[12:]
    print(frame.hex())
`
const MOUTH = `
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(('eth0', 0))
for line in sys.stdin: s.send(bytes.fromhex(line))
`
