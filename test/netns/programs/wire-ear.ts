import { openPacketSocket } from '#io/packet-native.ts'
import { batch } from '#ntm-lib/ports/packet-port.ts'
import { frames } from '#test/contract/packet-port.ts'

/**
 *   wire-ear.ts LINK       prints every frame that arrives at LINK: milliseconds since 1970, then its bytes as hex, tags inline
 *
 * Says `ear.ready` first. Frames that leave by LINK are not printed.
 */
const port = openPacketSocket(process.argv[2] ?? '', { promiscuous: true, bufferBytes: 16 << 20 })
const into = batch(64, 10_240)
port.onReadable(() => {
  while (port.recv(into) > 0) {
    const now = (performance.timeOrigin + performance.now()).toFixed(1)
    const lines = frames(into).map((frame) => `${now} ${Buffer.from(frame).toString('hex')}\n`)
    process.stdout.write(lines.join(''))
  }
})
process.stdout.write('ear.ready\n')
