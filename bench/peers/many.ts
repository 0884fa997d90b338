import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { Lab } from '#lab/netns.ts'
import { collect, pause } from '#lab/process.ts'
import { residentMib } from '../measures/cpu.ts'
import { fetchDebian } from './fetch.ts'
import { control, keyPair, socketOf } from './wireguard-go.ts'

/** Resident memory in MiB, without any tunnel and with `count`. */
export type Resident = { readonly without: number; readonly with: number }

/** The product's packet worker with `count` paths (`bench/many-tunnels.ts`); null when this commit cannot do it. */
export async function ntmMany(product: string, count: number): Promise<Resident | null> {
  const program = join(product, 'bench/many-tunnels.ts')
  const done = await collect(process.execPath, ['--expose-gc', program, `${count}`])
  return done.code === 0 ? (JSON.parse(done.stdout) as Resident) : null
}

/** wireguard-go with `count` peers of one address each, none of which it has spoken to; null when it cannot be had. */
export async function wireguardMany(count: number): Promise<Resident | null> {
  const found = fetchDebian('wireguard-go')
  if ('absent' in found) return null
  const lab = new Lab()
  try {
    lab.room('a')
    const device = `wg${lab.tag}m`
    lab.onDispose(() => rmSync(socketOf(device), { force: true }))
    const [command, ...first] = found.command('wireguard-go')
    const { pid } = lab.spawn('a', 'wireguard-many', command, [...first, '-f', device])
    await control(device, [`private_key=${keyPair().secret}`, 'listen_port=51820'])
    lab.ip('a', `link set ${device} up`)
    await pause(500)
    const without = residentMib(pid)
    const peers = Array.from({ length: count }, (_, i) => [
      `public_key=${keyPair().open}`,
      `endpoint=192.0.2.1:${20_000 + i}`,
      `allowed_ip=10.${64 + (i >> 8)}.${i & 255}.0/32`,
    ])
    for (let i = 0; i < count; i += PEERS_AT_ONCE) await control(device, peers.slice(i, i + PEERS_AT_ONCE).flat())
    await pause(1000)
    return { without, with: residentMib(pid) }
  } finally {
    lab.dispose()
  }
}

const PEERS_AT_ONCE = 500
