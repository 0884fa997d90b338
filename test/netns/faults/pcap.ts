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
