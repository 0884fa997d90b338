import { datagramRuns, openUdpRuns } from '#io/udp-runs.ts'
import { ip16, parseIp } from '#ntm-lib/addr/ip.ts'

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

const three = [3000, 1000] as const
process.stdout.write(
  JSON.stringify({
    fewer: tell('64', [[130 * 100 - 1, 100, '64']]),
    none: tell('eio', [...Array.from({ length: 1024 }, () => [...three, ''] as const), [...three, '']]),
  }),
)
