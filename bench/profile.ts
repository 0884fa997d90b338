import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '#lab/netns.ts'
import { PLACE } from '#lab/scenes/v4-host-to-v6-server.ts'
import { place } from './place.ts'
import { topSelf } from './profile-read.ts'
import { iperfRun } from './traffic.ts'

/**
 * `profile.ts [SECONDS]`: where the packet workers of bridge and TT spend their time while one TCP stream runs to the host and one to the server. V8's
 * own sampling (--cpu-prof), of every thread; profiles stay in `.run/profile` for a browser's developer tools.
 */
const seconds = Number(process.argv[2] ?? 10)
const dir = join(ROOT, '.run/profile')
const p = await place({})
try {
  for (const direction of ['to host', 'to server'] as const) {
    const into = join(dir, direction.replace(' ', '-'))
    for (const role of ['tt', 'bridge'] as const) {
      mkdirSync(join(into, role), { recursive: true })
      await p.restart(role, ['--cpu-prof', '--cpu-prof-dir', join(into, role)])
    }
    const [asked] = await p.ask('host', [PLACE.web6.name])
    const run = await iperfRun(p, asked?.address ?? '', seconds, direction, null)
    process.stdout.write(`\nTCP ${direction}: ${Math.round(run.mbits)} Mbit/s while sampled\n`)
    for (const role of ['bridge', 'tt'] as const) {
      await p.running(role).stop(10_000)
      process.stdout.write(`\n${role}, share of its busy time\n${topSelf(join(into, role), seconds + 1)}\n`)
    }
    for (const role of ['tt', 'bridge'] as const) await p.restart(role)
  }
} finally {
  p.scene.dispose()
}
