import { join } from 'node:path'
import { Lab, ROOT } from '#lab/netns.ts'
import type { Program } from '#lab/process.ts'

/**
 *   tun     h ═ wire in m ═ r (routes) ── c            tap   h ═ wire in m ═ r (switches) ── c
 *   packet  h ── wire in m ── c                        vlan  h ── wire in m, tags ── wire in n, takes the tag off ── c
 *
 * ═ is a device made by the wire and moved to its room. The far side's addresses end in .2.
 */
export type Kind = 'tun' | 'tap' | 'packet' | 'vlan'

export type Scene = {
  readonly lab: Lab
  readonly wires: readonly Program[]
  /** Where frames are judged: an interface that gets them in the form a wire would carry. */
  readonly judgedAt: readonly [room: string, link: string]
}

export type Told = {
  readonly carried: { plain: number; missing: number; tcp: number; udp: number; longest: number }
  readonly gone: readonly string[]
  readonly counters: readonly Record<string, number>[]
}

/** What `verify-checksums.ts` says. */
export type Verdict = {
  frames: number
  tcp4: number
  tcp6: number
  udp4: number
  udp6: number
  tagged: number
  lost: number
  faults: Record<string, number>
  example: string
}

/** The device finishes what it lets go, as the driver of a plain network card would. */
const WIRE_FORM = ['tx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'off', 'tx-udp-segmentation', 'off']

export const FAR = { IPv4: '10.90.0.2', IPv6: 'fd90::2' } as const

export async function openScene(kind: Kind): Promise<Scene> {
  const lab = new Lab()
  for (const room of ['h', 'm', 'c']) lab.room(room)
  return kind === 'tun' || kind === 'tap' ? devices(lab, kind) : cables(lab, kind)
}

async function devices(lab: Lab, kind: 'tun' | 'tap'): Promise<Scene> {
  lab.room('r', { 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 })
  lab.cable(['r', 'r0'], ['c', 'c0'])
  await ethtool(lab, 'r', 'r0', WIRE_FORM)
  await ethtool(lab, 'c', 'c0', ['gro', 'off'])
  const wire = await startWire(lab, 'm', kind, 'h0', 'w1')
  lab.ip('m', `link set h0 netns ${lab.netns('h')}`, `link set w1 netns ${lab.netns('r')}`)
  lab.ip('h', 'link set h0 up')
  lab.ip('r', 'link set w1 up')
  if (kind === 'tap') {
    lab.lanSwitch('r', 'br0', ['w1', 'r0'])
    lab.ip('h', 'address add 10.90.0.1/24 dev h0', 'address add fd90::1/64 dev h0')
  } else {
    lab.ip('h', 'address add 10.91.0.1/24 dev h0', 'address add fd91::1/64 dev h0')
    lab.ip('h', 'route add 10.90.0.0/24 dev h0', 'route add fd90::/64 dev h0')
    lab.ip('r', 'route add 10.91.0.0/24 dev w1', 'route add fd91::/64 dev w1')
    lab.ip('r', 'address add 10.90.0.1/24 dev r0', 'address add fd90::1/64 dev r0')
  }
  lab.ip('c', 'address add 10.90.0.2/24 dev c0', 'address add fd90::2/64 dev c0')
  if (kind === 'tun') lab.ip('c', 'route add default via 10.90.0.1', 'route add default via fd90::1')
  return { lab, wires: [wire], judgedAt: ['c', 'c0'] }
}

async function cables(lab: Lab, kind: 'packet' | 'vlan'): Promise<Scene> {
  if (kind === 'vlan') lab.room('n')
  const [far, farLink] = kind === 'vlan' ? (['n', 'x0'] as const) : (['c', 'c0'] as const)
  lab.cable(['h', 'h0'], ['m', 'w0'])
  lab.cable(['m', 'w1'], [far, farLink])
  if (kind === 'vlan') lab.cable(['n', 'x1'], ['c', 'c0'])
  await ethtool(lab, 'm', 'w1', WIRE_FORM)
  for (const [room, link] of [
    ['m', 'w0'],
    [far, farLink],
    ['c', 'c0'],
  ] as const)
    await ethtool(lab, room, link, ['gro', 'off'])
  const wires = [await startWire(lab, 'm', 'packet', 'w0', 'w1', ...(kind === 'vlan' ? ['tag'] : []))]
  if (kind === 'vlan') wires.push(await startWire(lab, 'n', 'packet', 'x1', 'x0', 'tag'))
  lab.ip('h', 'address add 10.90.0.1/24 dev h0', 'address add fd90::1/64 dev h0')
  lab.ip('c', 'address add 10.90.0.2/24 dev c0', 'address add fd90::2/64 dev c0')
  return { lab, wires, judgedAt: [far, farLink] }
}

async function startWire(lab: Lab, room: string, ...args: readonly string[]): Promise<Program> {
  const wire = lab.spawn(room, `wire-${room}`, process.execPath, [join(import.meta.dirname, 'wire.ts'), ...args])
  await wire.line(/^wire.ready/)
  return wire
}

async function ethtool(lab: Lab, room: string, link: string, settings: readonly string[]): Promise<void> {
  await lab.must(room, 'ethtool', ['-K', link, ...settings])
}

/** Starts judging what arrives at the far side; call the result to stop and hear the verdict. */
export async function judge({ lab, judgedAt: [room, link] }: Scene): Promise<() => Promise<Verdict>> {
  const name = `verify-${Math.floor(performance.now())}`
  const program = lab.spawn(room, name, process.execPath, [join(ROOT, 'lab/verify-checksums.ts'), link])
  await program.line(/^verify.ready/)
  return async () => JSON.parse(await lastLine(program)) as Verdict
}

/** Stops the wires and returns what each tells. */
export const endWires = (scene: Scene): Promise<Told[]> =>
  Promise.all(scene.wires.map(async (wire) => JSON.parse(await lastLine(wire)) as Told))

async function lastLine(program: Program): Promise<string> {
  await program.stop(10_000)
  return (
    program
      .text()
      .split('\n')
      .findLast((line) => line.startsWith('{')) ?? `{"none":${JSON.stringify(program.text())}}`
  )
}

/** A TCP exchange from the host to `far`, `bytes` each way at once; rejects when a byte is wrong. */
export async function exchange(scene: Scene, far: string, bytes: number): Promise<void> {
  const { lab } = scene
  const program = join(import.meta.dirname, 'tcp-bulk.ts')
  const port = String(5000 + (Math.floor(performance.now()) % 10_000))
  const server = lab.spawn('c', `serve${port}`, process.execPath, [program, 'serve', far, port, String(bytes)])
  await server.line(/^bulk.ready/)
  await lab.must('h', process.execPath, [program, 'call', far, port, String(bytes)])
  await server.stop()
}

/** What `udp-bulk.ts` says: what was heard, and the counters of the socket that sent. */
export type Heard = {
  readonly got: number
  readonly wrong: number
  readonly joined: number
  readonly sent: Record<string, number>
}

/** `count` datagrams of `bytes` in runs, from the host to `far`. */
export async function pourUdp({ lab }: Scene, far: string, count: number, bytes: number): Promise<Heard> {
  const program = join(import.meta.dirname, 'udp-bulk.ts')
  const port = String(20_000 + (Math.floor(performance.now()) % 10_000))
  const ear = lab.spawn('c', `hear${port}`, process.execPath, [program, 'hear', far, port])
  await ear.line(/^udp.ready/)
  const sent = await lab.must('h', process.execPath, [program, 'send', far, port, String(count), String(bytes)])
  const heard = JSON.parse(await lastLine(ear)) as Omit<Heard, 'sent'>
  return { ...heard, sent: JSON.parse(sent) as Record<string, number> }
}
