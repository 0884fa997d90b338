import { datagramRuns, openUdpRuns } from '#io/udp-runs.ts'
import { ip16, parseIp } from '#ntm-lib/addr/ip.ts'

/**
 * Datagrams in runs, as a program with UDP_SEGMENT and UDP_GRO sends and gets them.
 *
 *   udp-bulk.ts serve ADDRESS PORT             sends every run back
 *   udp-bulk.ts call ADDRESS PORT BYTES RUNS   sends RUNS runs of 20 datagrams of BYTES; prints { sent, back, wrong } half a second after
 */
const [mode, address = '', port = '0', bytes = '0', runs = '0'] = process.argv.slice(2)
const ip = parseIp(address)
if (ip === null) throw new Error(`no address: ${address}`)
const udp = openUdpRuns(mode === 'serve' ? { address: ip, port: Number(port) } : { port: 0 })
const into = datagramRuns(16)
const EACH = 20

function take(each: (at: number, len: number, seg: number, i: number) => void): void {
  while (udp.recv(into) > 0) {
    for (let i = 0; i < into.count; i++) each(i * into.slotBytes, into.lens[i] ?? 0, into.segs[i] ?? 0, i)
  }
}

if (mode === 'serve') {
  udp.onReadable(() =>
    take((at, len, seg, i) => {
      const run = { arena: into.arena, runs: Int32Array.of(i, at, len, seg), count: 1, datagrams: 0 }
      udp.send(run, into.addrs, into.ports)
    }),
  )
  process.stdout.write('udp.ready\n')
}

if (mode === 'call') {
  const [size, times] = [Number(bytes), Number(runs)]
  const addrs = ip16(ip)
  const ports = Uint16Array.of(Number(port))
  const right = (n: number, k: number): number => (n * 31 + k * 7) & 255
  let [sent, back, wrong] = [0, 0, 0]
  udp.onReadable(() =>
    take((at, len, seg) => {
      for (let p = at; p < at + len; p += seg) {
        back++
        const piece = into.arena.subarray(p, Math.min(p + seg, at + len))
        const n = (piece[0] ?? 0) * 256 + (piece[1] ?? 0)
        if (piece.length !== size || piece.some((b, k) => k > 1 && b !== right(n, k))) wrong++
      }
    }),
  )
  const arena = new Uint8Array(EACH * size)
  for (let run = 0; run < times; run++) {
    for (let d = 0; d < EACH; d++, sent++) {
      const at = d * size
      arena[at] = sent >> 8
      arena[at + 1] = sent
      for (let k = 2; k < size; k++) arena[at + k] = right(sent & 0xffff, k)
    }
    udp.send({ arena, runs: Int32Array.of(0, 0, arena.length, size), count: 1, datagrams: EACH }, addrs, ports)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  setTimeout(() => {
    process.stdout.write(`${JSON.stringify({ sent, back, wrong })}\n`, () => process.exit(0))
  }, 500)
}
