/** UDP payloads of a capture as tcpdump writes it (pcap, Ethernet, little-endian), as far as they were captured. */
export function* datagramsOf(pcap: Buffer): IterableIterator<Uint8Array> {
  for (let at = 24; at + 16 <= pcap.length; ) {
    const length = pcap.readUInt32LE(at + 8)
    const frame = pcap.subarray(at + 16, at + 16 + length)
    at += 16 + length
    const four = frame.readUInt16BE(12) === 0x0800
    const udp = 14 + (four ? ((frame[14] ?? 0) & 15) * 4 : 40)
    if (frame[14 + (four ? 9 : 6)] === 17) yield frame.subarray(udp + 8)
  }
}

export type Caught = {
  readonly family: 4 | 6
  readonly from: string
  readonly to: string
  readonly port: number
  readonly bytes: Uint8Array
}

/** The same with where each went. */
export function* caughtIn(pcap: Buffer): IterableIterator<Caught> {
  for (let at = 24; at + 16 <= pcap.length; ) {
    const length = pcap.readUInt32LE(at + 8)
    const frame = pcap.subarray(at + 16, at + 16 + length)
    at += 16 + length
    const four = frame.readUInt16BE(12) === 0x0800
    const udp = 14 + (four ? ((frame[14] ?? 0) & 15) * 4 : 40)
    if (frame[14 + (four ? 9 : 6)] !== 17 || frame.length < udp + 8) continue
    const [from, to] = four ? [text4(frame, 26), text4(frame, 30)] : [text6(frame, 22), text6(frame, 38)]
    yield { family: four ? 4 : 6, from, to, port: frame.readUInt16BE(udp + 2), bytes: frame.subarray(udp + 8) }
  }
}

const text4 = (frame: Buffer, at: number): string => frame.subarray(at, at + 4).join('.')
const text6 = (frame: Buffer, at: number): string => (frame.toString('hex', at, at + 16).match(/..../g) ?? []).join(':')
