import { openPacketSocket } from '#io/packet-native.ts'
import { batch, slotAt } from '#ntm-lib/ports/packet-port.ts'
import { frameFault } from './frame-fault.ts'

/**
 *   verify-checksums.ts LINK [MOST_BYTES]     judges every frame that arrives at LINK; on SIGTERM prints one JSON line and ends
 *
 * { frames, tcp4, tcp6, udp4, udp6, tagged, lost, faults: { what: how often }, example: hex of the first bad frame }. Says `verify.ready`
 * first. It sees frames as the sender's device let them go: that device must have `tx`, `tso`, `gso` off (`ethtool -K`), or what
 * arrives was never finished; LINK itself must have `gro` off. MOST_BYTES (1500): longest IP packet that a wire would carry.
 */
const [link = '', most = '1500'] = process.argv.slice(2)
const port = openPacketSocket(link, { vnet: false, promiscuous: true, bufferBytes: 256 << 20 })
const into = batch(64, 66_048)
const seen = { frames: 0, tcp4: 0, tcp6: 0, udp4: 0, udp6: 0, tagged: 0 }
const faults: Record<string, number> = {}
let example = ''

function drain(): void {
  while (port.recv(into) > 0) {
    for (let i = 0; i < into.count; i++) {
      const at = slotAt(into, i)
      judge(into.arena.subarray(at, at + (into.lens[i] ?? 0)))
    }
  }
}

function judge(frame: Uint8Array): void {
  seen.frames++
  const at = frame[12] === 0x81 && frame[13] === 0 ? 18 : 14
  if (at === 18) seen.tagged++
  const version = (frame[at] ?? 0) >> 4
  const proto = version === 4 ? frame[at + 9] : frame[at + 6]
  if (proto === 6) seen[version === 4 ? 'tcp4' : 'tcp6']++
  if (proto === 17) seen[version === 4 ? 'udp4' : 'udp6']++
  const fault = frameFault(frame, Number(most))
  if (fault === null) return
  faults[fault] = (faults[fault] ?? 0) + 1
  example ||= Buffer.from(frame.subarray(0, 96)).toString('hex')
}

port.onReadable(drain)
process.on('SIGTERM', () => {
  drain()
  const { lostIn, oversizedIn } = port.counters
  process.stdout.write(`${JSON.stringify({ ...seen, lost: lostIn + oversizedIn, faults, example })}\n`, () =>
    process.exit(0),
  )
})
process.stdout.write('verify.ready\n')
