import { openTun } from '#io/packet-native.ts'
import { datagramRuns, openUdpRuns } from '#io/udp-runs.ts'
import { ip16, parseIp } from '#ntm-lib/addr/ip.ts'
import { internetSum, ip } from '../packet-rigs.ts'

/** Run with `refuse-gso.c` preloaded: prints what became of runs on a machine that does not cut them. */
const here = parseIp('127.0.0.1')
if (here === null) throw new Error('unreachable')
const to = ip16(here)
const arena = Uint8Array.from({ length: 200_000 }, (_, i) => (i * 7 + (i >> 8)) & 255)
const into = datagramRuns(64)

function tell(
  refuse: string,
  pieces: readonly (readonly [bytes: number, each: number, refuseThen: string])[],
): unknown {
  const [a, b] = [
    openUdpRuns({ port: 0, address: here as never }),
    openUdpRuns({ port: 0, address: here as never, bufferBytes: 64 << 20 }),
  ]
  process.env['REFUSE_GSO'] = refuse
  let whole = true
  for (const [bytes, each, refuseThen] of pieces) {
    a.send({ arena, runs: Int32Array.of(0, 0, bytes, each), count: 1, datagrams: 0 }, to, Uint16Array.of(b.port))
    process.env['REFUSE_GSO'] = refuseThen
    let got = Buffer.alloc(0)
    while (b.recv(into) > 0)
      for (let i = 0; i < into.count; i++) {
        const at = i * into.slotBytes
        got = Buffer.concat([got, into.arena.subarray(at, at + (into.lens[i] ?? 0))])
      }
    if (got.compare(arena, 0, bytes) !== 0) whole = false
  }
  process.env['REFUSE_GSO'] = ''
  const { out, superOut, gsoRefused, refusedOut } = a.counters
  a.close()
  b.close()
  return { out, superOut, gsoRefused, refusedOut, whole }
}

/** UDP super-packets written to a TUN whose kernel knows none: `far` hears them all the same, with right checksums (it judges them). */
function tun(): unknown {
  const port = openTun('rt', { offloads: true })
  ip('address', 'add', '10.85.0.1/24', 'dev', 'rt')
  ip('link', 'set', 'rt', 'up')
  const far = openUdpRuns({ port: 4330, bufferBytes: 64 << 20 })
  const packet = udpPacket(3000)
  const memory = Buffer.concat([new Uint8Array(64), packet])
  const send = (): void => void port.sendSuper(memory, { jobs: Int32Array.of(64, packet.length, 1000), count: 1 })
  process.env['REFUSE_GSO'] = 'tun'
  for (let n = 0; n < 3; n++) send()
  process.env['REFUSE_GSO'] = ''
  // One refusal and 1,024 packets after it are cut here; the next one goes whole.
  for (let n = 3; n < 1026; n++) send()
  let heard = 0
  while (far.recv(into) > 0) for (let i = 0; i < into.count; i++) heard += Math.ceil((into.lens[i] ?? 0) / 1000)
  const { out, superOut, gsoRefused, refusedOut } = port.counters
  port.close()
  far.close()
  return { out, superOut, gsoRefused, refusedOut, heard }
}

/** UDP 10.85.0.2 → 10.85.0.1:4330 without its checksum. */
function udpPacket(payload: number): Uint8Array {
  const p = new Uint8Array(28 + payload).fill(0x42)
  p.set([0x45, 0, p.length >> 8, p.length & 255, 0, 1, 0x40, 0, 64, 17, 0, 0, 10, 85, 0, 2, 10, 85, 0, 1])
  p.set([0x10, 0xea, 0x10, 0xea, (payload + 8) >> 8, (payload + 8) & 255, 0, 0], 20)
  const sum = internetSum(p.subarray(0, 20))
  p.set([sum >> 8, sum & 255], 10)
  return p
}

ip('link', 'set', 'lo', 'up')
const three = [3000, 1000] as const
process.stdout.write(
  JSON.stringify({
    fewer: tell('64', [[130 * 100 - 1, 100, '64']]),
    none: tell('eio', [...Array.from({ length: 1024 }, () => [...three, ''] as const), [...three, '']]),
    tun: tun(),
  }),
)
process.exit(0)
