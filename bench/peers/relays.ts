import { join } from 'node:path'
import { Lab, ROOT } from '#lab/netns.ts'
import { RELAY_PATH } from '../relay-path.ts'
import { fetchDebian, type Missing } from './fetch.ts'
import type { BoxProcess } from './peer.ts'

/*
 *   ends ─eth0 ────────── eth0─ relay
 *   198.18.1.2 (sends), 198.18.1.3 (counts)      198.18.1.1
 */
export const RELAY_PLACE = { from: '198.18.1.2', to: '198.18.1.3', relay: '198.18.1.1', fromPort: 7001, toPort: 7002 }

/** A relay at work in a lab of its own, forwarding from one end to the other. */
export type RelayArena = {
  readonly name: string
  readonly lab: Lab
  readonly port: number
  /** What each datagram of `bytes` of payload begins with towards the relay, in hex; not counted as payload. */
  readonly head: (bytes: number) => string
  readonly boxes: readonly BoxProcess[]
  /** Binds the ends anew. */
  refresh(): Promise<void>
  dispose(): void
}
export type RelayPeer = { readonly name: string; readonly version: string; build(): Promise<RelayArena> }

/** The packet side of `ntm relay`: both ends are bound legs, datagrams are Capsulated Packets and leave as they came. */
export const ntmRelay = (): RelayPeer => ({
  name: 'ntm',
  version: 'this',
  build: () =>
    build('ntm', 4330, async (lab) => {
      const program = lab.spawn('relay', 'relay', process.execPath, [join(ROOT, 'bench/relay-alone.ts'), '4330'])
      await program.line(/relay\.ready/, 20_000)
      return program.pid
    }),
})

/**
 * coturn as TURN server, in the way that costs it least: one end is a plain UDP peer (one TURN leg instead of two), data as ChannelData
 * (four bytes, no STUN), no authentication, no log. `batched`: with its non-standard options that send in batches and as super-packets.
 */
export function coturn(batched: boolean): RelayPeer | Missing {
  const found = fetchDebian('coturn')
  if ('absent' in found) return found
  const name = batched ? 'coturn-batched' : 'coturn'
  return {
    name,
    version: `${found.version}${batched ? ' --multiplex-peer --udp-gso' : ''}`,
    build: () =>
      build(name, 3478, async (lab) => {
        const [command, ...first] = found.command('turnserver')
        const options = ['--no-auth', '--no-tls', '--no-multicast-peers', '--log-file=stdout', '--no-stdout-log']
        const places = ['-L', RELAY_PLACE.relay, '-E', RELAY_PLACE.relay, '-p', '3478', '--sock-buf-size=16777216']
        const files = ['-b', join(lab.dir, 'turn.db'), `--pidfile=${join(lab.dir, 'turn.pid')}`]
        const more = batched ? ['--multiplex-peer', '--udp-gso'] : []
        return lab.spawn('relay', name, command, [...first, '-n', ...options, ...places, ...files, ...more]).pid
      }),
  }
}

async function build(name: string, port: number, start: (lab: Lab) => Promise<number>): Promise<RelayArena> {
  const lab = new Lab()
  try {
    for (const room of ['ends', 'relay']) lab.room(room)
    lab.cable(['ends', 'eth0'], ['relay', 'eth0'])
    const { from, to, relay, fromPort, toPort } = RELAY_PLACE
    lab.ip('ends', `addr add ${from}/24 dev eth0`, `addr add ${to}/24 dev eth0`)
    lab.ip('relay', `addr add ${relay}/24 dev eth0`)
    const pid = await start(lab)
    const refresh = async (): Promise<void> => {
      const ends = [from, `${fromPort}`, to, `${toPort}`, relay, `${port}`]
      await lab.must('ends', process.execPath, [
        join(ROOT, 'bench/relay-ends.ts'),
        name === 'ntm' ? 'ntm' : 'turn',
        ...ends,
      ])
    }
    await refresh()
    const id = RELAY_PATH.id.toString(16).padStart(12, '0')
    return {
      name,
      lab,
      port,
      head: (bytes) => (name === 'ntm' ? `14000000${id}000000000000` : `4000${bytes.toString(16).padStart(4, '0')}`),
      boxes: [{ name: 'relay', pid }],
      refresh,
      dispose: () => lab.dispose(),
    }
  } catch (fault) {
    lab.dispose()
    throw fault
  }
}
