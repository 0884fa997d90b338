// Misuse and ordinary use of the addon in one process, for runs under sanitizers. Ends with 0 when all went well.
import { packetIo } from '#io/native.ts'
import { openUdp } from '#io/udp-native.ts'
import { parseIp } from '#ntm-lib/addr/ip.ts'
import { misuse } from './addon-misuse.ts'

const outcome = misuse(packetIo(), Number(process.argv[2] ?? 1), Number(process.argv[3] ?? 20))
const here = parseIp('127.0.0.1')
if (here === null) throw new Error('unreachable')
const [a, b] = [openUdp({ port: 0, address: here }), openUdp({ port: 0, address: here })]
let got = 0
b.onDatagram((_, bytes) => {
  got += bytes.length
  if (got < 5000) return
  process.stdout.write(`${JSON.stringify({ ...outcome, got })}\n`)
  a.close()
  b.close()
})
for (let i = 0; i < 100; i++) a.send({ ip: here, port: b.port }, new Uint8Array(50))
