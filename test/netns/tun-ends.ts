import { join } from 'node:path'
import { Lab, ROOT } from '#lab/netns.ts'
import type { Program } from '#lab/process.ts'

/** a ──10.9.0.0/24── b, and a tunnel between their TUN devices: 198.18.0.1 and fd12:3456:789a::1 at a, …2 at b. */
export type TunEnds = {
  readonly lab: Lab
  readonly a: Program
  readonly b: Program
  /** What an end counted until now. */
  counters(end: 'a' | 'b'): Promise<Readonly<Record<string, number>>>
}

/** Starts both ends; resolves when the tunnel is open at both. `extra` are options of `bench/tun-end.ts`, `node` those of Node. */
export async function tunEnds(
  extra: readonly string[] = [],
  cableMtu = 1500,
  node: readonly string[] = [],
): Promise<TunEnds> {
  const lab = new Lab()
  try {
    for (const [i, room] of (['a', 'b'] as const).entries()) {
      lab.room(room)
      if (i === 1) lab.cable(['a', 'eth0'], ['b', 'eth0'], { mtu: cableMtu })
    }
    lab.ip('a', 'address add 10.9.0.1/24 dev eth0')
    lab.ip('b', 'address add 10.9.0.2/24 dev eth0')
    const end = (room: 'a' | 'b', role: string, n: number): Program =>
      lab.spawn(room, `tun-${room}`, process.execPath, [
        ...node,
        join(ROOT, 'bench/tun-end.ts'),
        ...['--role', role, '--address', `198.18.0.${n}/16,fd12:3456:789a::${n}/48`],
        ...['--opener-at', '10.9.0.1:4330', '--acceptor-at', '10.9.0.2:4330'],
        ...['--opener-inner', '198.18.0.1/32,fd12:3456:789a::1/128'],
        ...['--acceptor-inner', '198.18.0.2/32,fd12:3456:789a::2/128'],
        ...extra,
      ])
    const b = end('b', 'acceptor', 2)
    const a = end('a', 'opener', 1)
    await Promise.all([a.line(/"ready"/), b.line(/"ready"/)])
    const counters: TunEnds['counters'] = async (which) => {
      const program = which === 'a' ? a : b
      const told = (): string[] =>
        program
          .text()
          .split('\n')
          .filter((l) => l.startsWith('{"counters"'))
      const before = told().length
      program.kill('SIGUSR1')
      for (;;) {
        const line = told()[before]
        if (line !== undefined) return (JSON.parse(line) as { counters: Record<string, number> }).counters
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
    return { lab, a, b, counters }
  } catch (fault) {
    lab.keepLogs('failed-tun-ends')
    lab.dispose()
    throw fault
  }
}
