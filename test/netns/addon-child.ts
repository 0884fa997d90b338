// Misuse and ordinary use of the addon in one process, for runs under sanitizers. Ends with 0 when all went well.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { packetIo } from '#io/native.ts'
import { openUdp } from '#io/udp-native.ts'
import { parseIp } from '#ntm-lib/addr/ip.ts'
import { shared } from '#ntm-lib/ports/packet-port.ts'
import { misuse } from './addon-misuse.ts'

const outcome = misuse(packetIo(), Number(process.argv[2] ?? 1), Number(process.argv[3] ?? 20))
useAfterCollection()
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

/** Bound calls whose memory, keys and ports nobody else holds, while others like them are collected. */
function useAfterCollection(): void {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  const io = packetIo()
  const any = new Uint8Array(16)
  const calls: (() => unknown)[] = []
  for (let i = 0; i < 400; i++) {
    const port = io.openUdp(any, 0, 0, 0, false, 0, '', true)
    if (typeof port === 'number') throw new Error(`openUdp: ${port}`)
    const [bytes, words, numbers] = [shared(Uint8Array, 4096), shared(Int32Array, 64), shared(Uint16Array, 1)]
    const recv = io.bindRecvRuns(port, bytes, 4096, shared(Uint32Array, 1), numbers, bytes.subarray(64), numbers, null)
    const send = io.bindSendRuns(port, bytes, words, bytes, numbers, null)
    const status = shared(Int8Array, 4)
    const seal = io.bindSeal(io.newKeys(1, 1), words, bytes, bytes, shared(Uint8Array, 64), words, status, words)
    if (i % 3 === 0)
      calls.push(
        recv,
        () => send(0),
        () => seal(0, 1),
      )
    if (i % 40 !== 0) continue
    gc()
    for (const call of calls) call()
  }
}
