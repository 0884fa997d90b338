import { createSocket } from 'node:dgram'

/**
 *   one-way.ts take PORT                             prints { take: 'ready' }, and half a second after the last datagram all it
 *                                                    got, in the order they came: [number, ms on the way, ms of arrival]
 *   one-way.ts send ADDRESS PORT COUNT PERIOD BYTES  COUNT numbered datagrams, one every PERIOD ms; 0: as fast as they go
 *
 * Both read the clock that all processes of a machine share.
 */
const [mode = '', ...args] = process.argv.slice(2)
const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6

if (mode === 'take') {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 8 << 20 })
  const got: [number, number, number][] = []
  let timer: NodeJS.Timeout | undefined
  socket.on('message', (bytes) => {
    const at = nowMs()
    got.push([bytes.readUInt32BE(0), at - bytes.readDoubleBE(4), at])
    clearTimeout(timer)
    timer = setTimeout(() => process.stdout.write(`${JSON.stringify({ got: got.splice(0) })}\n`), 500)
  })
  socket.bind(Number(args[0]), () => process.stdout.write('{"take":"ready"}\n'))
} else {
  const [address = '', port, count, period, size] = [args[0], ...args.slice(1).map(Number)] as const
  const socket = createSocket({ type: 'udp4', sendBufferSize: 8 << 20 })
  await new Promise<void>((done) => socket.connect(Number(port), address, () => done()))
  const begun = nowMs()
  for (let n = 0; n < Number(count); n++) {
    while (nowMs() < begun + n * Number(period)) await new Promise((turn) => setImmediate(turn))
    const bytes = Buffer.alloc(Number(size))
    bytes.writeUInt32BE(n, 0)
    bytes.writeDoubleBE(nowMs(), 4)
    await new Promise((sent) => socket.send(bytes, sent))
  }
  socket.close()
}
