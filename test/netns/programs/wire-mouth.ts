import { readFileSync } from 'node:fs'
import { openPacketSocket } from '#io/packet-native.ts'
import { batch, slotAt } from '#ntm-lib/ports/packet-port.ts'

/**
 *   wire-mouth.ts LINK FILE            sends the frames in FILE (hex, one per line) out of LINK, once each, in order
 *   wire-mouth.ts LINK FILE PERIOD     again every PERIOD milliseconds, until it is ended
 *
 * Exit code 1 when the kernel takes one of them not.
 */
const [link = '', file = '', period] = process.argv.slice(2)
const port = openPacketSocket(link, { receive: false })
const all = readFileSync(file, 'utf8')
  .split('\n')
  .flatMap((line) => (line === '' ? [] : [Buffer.from(line, 'hex')]))
const out = batch(1, 10_240)

function send(): void {
  for (const frame of all) {
    out.arena.set(frame, slotAt(out, 0))
    out.lens[0] = frame.length
    out.count = 1
    if (port.send(out) === 1) continue
    process.stderr.write(`not sent: ${frame.toString('hex')}\n`)
    process.exitCode = 1
  }
}

send()
if (period === undefined) port.close()
else setInterval(send, Number(period))
