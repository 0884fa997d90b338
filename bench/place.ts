import { join } from 'node:path'
import { LabError } from '#lab/ip.ts'
import { ROOT } from '#lab/netns.ts'
import type { Program } from '#lab/process.ts'
import { Product } from '#lab/product.ts'
import { PLACE, type Room, type Scene, v4HostToV6Server } from '#lab/scenes/v4-host-to-v6-server.ts'
import { iperf } from '#lab/services.ts'
import type { Weather } from '#lab/weather.ts'
import type { Asked } from './dns-client.ts'

/** The lab with the product running in it, and many IPv6-only names that nobody has asked for yet. */
export type Place = {
  readonly scene: Scene
  readonly product: Product
  /** `count` names that were never asked for. */
  fresh(count: number): readonly string[]
  /** Asks the resolver that `room` uses (or `server`) for each name in turn; throws LabError when one is not answered as expected. */
  ask(room: Room, names: readonly string[], options?: AskOptions): Promise<readonly Asked[]>
  /** Median round trip by ping, in milliseconds. */
  ping(room: Room, address: string, count?: number): Promise<readonly number[]>
  /** Stops a role's program and starts it again with the same configuration; resolves when it is ready. */
  restart(role: 'bridge' | 'tt', nodeOptions?: readonly string[]): Promise<Program>
  running(role: 'bridge' | 'tt'): Program
}

export type AskOptions = { readonly server?: string; readonly pauseMs?: number; readonly mayFail?: boolean }

/**
 * 20 ms between bridge and coordinator, 20 ms between coordinator and TT, 40 ms between bridge and TT: the order of the
 * round trips that SEED 003 table 3 was measured with.
 */
export const FAR: Readonly<Partial<Record<Room, Weather>>> = { router: { delayMs: 10 }, tt: { delayMs: 10 } }

export async function place(weather: Readonly<Partial<Record<Room, Weather>>>, debug = false): Promise<Place> {
  const records = Array.from({ length: NAMES }, (_, i) => `n${i} AAAA ${PLACE.web6.ip6}`)
  const scene = await v4HostToV6Server({ weather, records })
  const product = new Product(scene)
  const level = debug ? { 'log.level': 'debug' } : {}
  try {
    await iperf(scene.lab, 'web4')
    await product.initNetwork()
    await product.coordinator(level)
    await product.tt(level)
    await product.bridge(level)
  } catch (fault) {
    scene.lab.keepLogs('failed-bench')
    scene.dispose()
    throw fault
  }
  const again = new Map<string, Program>()
  let starts = 0
  let used = 0
  return {
    scene,
    product,
    fresh: (count) => {
      if (used + count > NAMES) throw new LabError('the bench has no names left')
      used += count
      return Array.from({ length: count }, (_, i) => `n${used - count + i}.example`)
    },
    ask: async (room, names, options = {}) => {
      const args = [CLIENT, options.server ?? PLACE.lan.router, `${options.pauseMs ?? 20}`, ...names]
      const limitMs = 60_000 + names.length * 3500
      const asked = JSON.parse(await scene.lab.must(room, process.execPath, args, { limitMs })) as Asked[]
      const bad = asked.find((one) => one.ms === null || one.address === null)
      if (bad !== undefined && options.mayFail !== true) throw new LabError(`${room} asked: ${JSON.stringify(bad)}`)
      return asked
    },
    ping: async (room, address, count = 30) => {
      const text = await scene.lab.must(room, 'ping', ['-n', '-c', `${count}`, '-i', '0.05', '-W', '2', address])
      return [...text.matchAll(/time=([\d.]+)/g)].map((match) => Number(match[1]))
    },
    restart: async (role, nodeOptions = []) => {
      await (again.get(role) ?? product.programs[role])?.stop()
      starts++
      const program = scene.lab.spawn(role, `${role}-again-${starts}`, process.execPath, [
        ...nodeOptions,
        ...[join(ROOT, 'src/cli/ntm.ts'), role, '--config', join(scene.lab.dir, role, 'ntm.toml')],
      ])
      await program.line(/"event":"role\.ready"/, 20_000)
      again.set(role, program)
      return program
    },
    running: (role) => {
      const program = again.get(role) ?? product.programs[role]
      if (program === undefined) throw new LabError(`${role} is not running`)
      return program
    },
  }
}

/** Milliseconds of what was answered. */
export const timesOf = (asked: readonly Asked[]): number[] => asked.flatMap(({ ms }) => ms ?? [])

const NAMES = 2000
const CLIENT = join(ROOT, 'bench/dns-client.ts')
