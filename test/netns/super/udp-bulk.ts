import { setTimeout as sleep } from 'node:timers/promises'
import { datagramRuns, openUdpRuns } from '#io/udp-runs.ts'
import { ip16, parseIp } from '#ntm-lib/addr/ip.ts'

/**
 *   udp-bulk.ts hear ADDRESS PORT                  checks every datagram; on SIGTERM prints { got, wrong, joined } as JSON
 *   udp-bulk.ts send ADDRESS PORT COUNT BYTES      COUNT datagrams of BYTES in runs of up to 40, the last of each run one byte shorter
 *
 * Datagram n begins with n as 32 bits, and every further byte is told by n and its place.
 */
const [mode, address = '', port = '', count = '0', bytes = '0'] = process.argv.slice(2)
const ip = parseIp(address)
if (ip === null) throw new Error(`no address: ${address}`)
const RUN = 40

const byteAt = (n: number, i: number): number => (n * 31 + i * 7 + (i >> 8)) & 255

if (mode === 'hear') {
  const udp = openUdpRuns({ port: Number(port), address: ip, bufferBytes: 64 << 20 })
  const into = datagramRuns(64)
  const told = { got: 0, wrong: 0, joined: 0 }
  const check = (at: number, end: number): void => {
    const n = into.view.getUint32(at)
    let right = true
    for (let i = 4; at + i < end; i++) if (into.arena[at + i] !== byteAt(n, i)) right = false
    told.got++
    if (!right) told.wrong++
  }
  udp.onReadable(() => {
    while (udp.recv(into) > 0) {
      for (let i = 0; i < into.count; i++) {
        const [start, len = 0, each = 0] = [i * into.slotBytes, into.lens[i], into.segs[i]]
        if (len > each) told.joined++
        for (let at = 0; at < len; at += each) check(start + at, start + Math.min(len, at + each))
      }
    }
  })
  process.on('SIGTERM', () => process.stdout.write(`${JSON.stringify(told)}\n`, () => process.exit(0)))
  process.stdout.write('udp.ready\n')
}

if (mode === 'send') {
  const udp = openUdpRuns({ port: 0, bufferBytes: 16 << 20 })
  const each = Number(bytes)
  const arena = new Uint8Array(RUN * each)
  const runs = { arena, runs: new Int32Array(4), count: 1, datagrams: 0 }
  for (let n = 0; n < Number(count); ) {
    const here = Math.min(RUN, Number(count) - n)
    for (let k = 0; k < here; k++, n++) {
      for (let i = 4; i < each; i++) arena[k * each + i] = byteAt(n, i)
      new DataView(arena.buffer).setUint32(k * each, n)
    }
    runs.runs.set([0, 0, here * each - 1, each])
    udp.send(runs, ip16(ip), Uint16Array.of(Number(port)))
    // Slow enough that nothing on the way has to be dropped.
    await sleep(2)
  }
  process.stdout.write(`${JSON.stringify(udp.counters)}\n`)
  udp.close()
}
