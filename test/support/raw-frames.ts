import { expect } from 'vitest'
import type { Lab } from '#lab/netns.ts'
import { type Program, until } from '#lab/process.ts'

/** One end of a wire: a link in a room, and the link address that frames from there carry. */
export type WireEnd = { readonly room: string; readonly link: string; readonly addr: string }

/** A whole frame as hex, padded to 60 bytes. */
export const frame = (to: string, from: string, type: string, payload: string): string =>
  `${to}${from}${type}${payload}`.padEnd(120, '0')

/**
 * What ordinary bridges keep back or ordinary hosts do not send: BPDU, LACP, EAPOL, LLDP, tags, unknown types. Where there is IP it has a header,
 * and IPv6 its length: QEMU's e1000e parses what it sends, drops what it cannot parse, and fills in a length of 0, which the real one does not.
 */
export const unusualFrames = (from: string): readonly string[] => [
  frame('0180c2000000', from, '0026', '424203'),
  frame('0180c2000002', from, '8809', '0101'),
  frame('0180c2000003', from, '888e', '01010000'),
  frame('0180c200000e', from, '88cc', '0207'),
  frame('01000ccccccc', from, '0030', 'aaaa03'),
  frame('010ecf000000', from, '8892', 'fefe'),
  frame('ffffffffffff', from, '8100', '0064080045'),
  frame('ffffffffffff', from, '8100', 'e000080600'),
  frame('ffffffffffff', from, '88a8', '006481000065080045'),
  frame('ffffffffffff', from, '8863', '1109'),
  frame('01005e0000fb', from, '0800', '4500'),
  frame('3333000000fb', from, '86dd', '6000000000063b01'),
  frame('ffffffffffff', from, 'abcd', 'ef'),
]

/** Sends frames from each end to the other: each must come out once, byte for byte, in order. Others' frames on the wire are not looked at. */
export async function bothWays(lab: Lab, [a, b]: readonly [WireEnd, WireEnd], frames: readonly string[]) {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    const sent = frames.map((hex) => hex.slice(0, 12) + from.addr + hex.slice(24))
    const there = listen(lab, to)
    await there.line(/^listening/)
    await sendFrames(lab, from, sent)
    const ours = (): string[] => heardFrames(there.text()).filter((hex) => hex.slice(12, 24) === from.addr)
    await until(
      `${sent.length} frames at ${to.room}`,
      () => (ours().length >= sent.length ? true : null),
      20_000,
    ).catch(() => {
      // What is missing is told by the comparison.
    })
    expect(ours()).toEqual(sent)
    await there.stop()
  }
}

let ears = 0
/** Prints every frame that arrives there as hex, VLAN tags put back where the kernel took them out; `listening` first. */
export const listen = (lab: Lab, { room, link }: WireEnd): Program =>
  lab.spawn(room, `ear-${room}-${++ears}`, 'python3', ['-u', '-c', EAR, link])

export const sendFrames = (lab: Lab, { room, link }: WireEnd, frames: readonly string[]): Promise<string> =>
  lab.must(room, 'python3', ['-c', MOUTH, link], { input: frames.join('\n') })

/** The frames in what `listen` has printed. */
export const heardFrames = (text: string): string[] => text.split('\n').filter((line) => /^[0-9a-f]{28,}$/.test(line))

const EAR = `
import socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.setsockopt(263, 8, 1)  # PACKET_AUXDATA
s.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING
s.bind((sys.argv[1], 0))
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
s.bind((sys.argv[1], 0))
for line in sys.stdin: s.send(bytes.fromhex(line))
`
