// Many datagrams through the addon, to ADDRESS PORT. `one BYTES COUNT`: datagrams of BYTES, one packet each, 100 every millisecond at most;
// `runs BYTES COUNT`: super-packets of ten such datagrams. Each carries its number, as `counted-udp.ts` wants. Prints how many and from where.
import { openUdp } from '#io/udp-native.ts'
import { openUdpRuns } from '#io/udp-runs.ts'
import { ip16 } from '#ntm-lib/addr/ip.ts'
import { endpointOf } from '#test/support/route.ts'

const [address = '', port = '', mode = '', ...numbers] = process.argv.slice(2)
const [bytes = 0, count = 0] = numbers.map(Number)
const to = endpointOf(`${address.includes(':') ? `[${address}]` : address}:${port}`)
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const say = (from: number): void => void process.stdout.write(`${JSON.stringify({ sent: count, from })}\n`)

if (mode === 'one') {
  const udp = openUdp({ port: 0 })
  const datagram = new Uint8Array(bytes)
  const view = new DataView(datagram.buffer)
  const begun = performance.now()
  for (let n = 0; n < count; ) {
    const due = Math.min(count, Math.floor((performance.now() - begun) * 100))
    for (; n < due; n++) {
      view.setUint32(0, n)
      udp.send(to, datagram)
    }
    udp.flush()
    await pause(1)
  }
  say(udp.port)
} else {
  const udp = openUdpRuns({ port: 0 })
  const arena = new Uint8Array(10 * bytes)
  const view = new DataView(arena.buffer)
  for (let n = 0; n < count; n += 10) {
    for (let i = 0; i < 10; i++) view.setUint32(i * bytes, n + i)
    const runs = { arena, runs: Int32Array.of(0, 0, arena.length, bytes), count: 1, datagrams: 10 }
    udp.send(runs, ip16(to.ip), Uint16Array.of(to.port))
    await pause(2)
  }
  say(udp.port)
}
await pause(100)
process.exit(0)
