import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BIG_BYTES, BIG_SHA256, bigFile, sha256 } from './content.ts'
import { LabError } from './ip.ts'
import { ROOT } from './netns.ts'
import { type Outcome, pause } from './process.ts'
import { PLACE, type Room, type Scene } from './scenes/v4-host-to-v6-server.ts'
import { pageOf } from './services.ts'

/** Something the running product must do for the host. `run` returns what was seen, or throws with what was seen instead. */
export type Check = { readonly title: string; run(scene: Scene): Promise<string> }

const V6 = PLACE.web6.name

/** The page itself: the whole product in one line. */
export const PAGE: Check = {
  title: `curl http://${V6}/`,
  run: async (scene) => {
    const page = await curl(scene, [`http://${V6}/`])
    same('page', page.stdout, pageOf(V6))
    return page.stdout.trim()
  },
}

/**
 * The page where machines are emulated: while everything runs for the first time there, a tunnel may take longer than the bridge holds a query.
 * The host is told no then, and asks again for as long as a person would.
 */
export async function pagePatiently(scene: Scene): Promise<string> {
  const until = performance.now() + 120_000
  for (let asked = 1; ; asked++) {
    try {
      const page = await PAGE.run(scene)
      return asked === 1 ? page : `${page} (asked ${asked} times)`
    } catch (fault) {
      if (performance.now() > until) throw fault
      await pause(500)
    }
  }
}

/** Everything else on the same running system, in the order the demo shows it. */
export const CHECKS: readonly Check[] = [
  {
    title: 'who the server sees',
    run: async (scene) => {
      const { stdout } = await curl(scene, [`http://${V6}/ip`])
      same('client address at the server', stdout.trim(), PLACE.tt.ip6)
      return `${stdout.trim()}, the TT: an ordinary IPv6 client`
    },
  },
  {
    title: 'download of 100 MB, checksum',
    run: async (scene) => {
      const file = join(scene.lab.dir, 'download')
      const done = await curl(scene, ['-o', file, `http://${V6}/100m.bin`])
      same('SHA-256 of the download', await sha256(file), BIG_SHA256)
      return `${rate(done.ms)}, SHA-256 matches`
    },
  },
  {
    title: 'upload of 100 MB, checksum',
    run: async (scene) => {
      const done = await curl(scene, ['-T', bigFile(), `http://${V6}/upload/from-host`])
      same('SHA-256 of the upload', await sha256(join(scene.uploads, 'from-host')), BIG_SHA256)
      return `${rate(done.ms)}, SHA-256 matches`
    },
  },
  {
    title: 'HTTP over TLS',
    run: async (scene) => {
      const page = await curl(scene, ['--cacert', scene.ca, `https://${V6}/`])
      same('page over TLS', page.stdout, pageOf(V6))
      return 'the certificate is the server’s own, end to end'
    },
  },
  {
    title: 'UDP request and response',
    run: async (scene) => {
      const text = 'is anybody there'
      const script = join(ROOT, 'lab/udp.ts')
      const args = [script, 'ask', V6, `${PLACE.udpPort}`, text]
      const done = await scene.lab.run('host', process.execPath, args)
      same('UDP answer', done.stdout.trim() || done.stderr.trim(), text)
      return 'echoed'
    },
  },
  {
    title: `ping ${V6}`,
    run: async (scene) => {
      const { stdout } = await scene.lab.run('host', 'ping', ['-n', '-c', '5', '-i', '0.2', '-W', '2', V6])
      const rtt = /= [\d.]+\/([\d.]+)\//.exec(stdout)?.[1]
      if (!stdout.includes(' 5 received') || rtt === undefined) throw new LabError(stdout.trim() || 'no answer')
      return `5 of 5, ${rtt} ms on average`
    },
  },
  {
    title: `traceroute ${V6}`,
    run: async (scene) => {
      const target = await addressOf(scene, V6)
      const { stdout } = await scene.lab.run('host', 'traceroute', ['-n', '-q', '1', '-w', '2', '-m', '10', V6])
      const hops = stdout
        .trim()
        .split('\n')
        .slice(1)
        .map((line) => line.trim().split(/\s+/)[1] ?? '')
      if (hops.at(-1) !== target) throw new LabError(`the last hop is not ${target}:\n${stdout}`)
      return `${hops.length} hops: ${hops.join(', ')}`
    },
  },
  {
    title: 'ten parallel connections',
    run: async (scene) => {
      const part = BIG_BYTES / 10
      const whole = readFileSync(bigFile())
      const begun = performance.now()
      await Promise.all(
        Array.from({ length: 10 }, async (_, i) => {
          const file = join(scene.lab.dir, `part-${i}`)
          await curl(scene, ['-r', `${i * part}-${(i + 1) * part - 1}`, '-o', file, `http://${V6}/100m.bin`])
          const want = createHash('sha256')
            .update(whole.subarray(i * part, (i + 1) * part))
            .digest('hex')
          same(`SHA-256 of part ${i}`, await sha256(file), want)
        }),
      )
      return `10 × 10 MB at once, ${rate(performance.now() - begun)} together, all SHA-256 match`
    },
  },
  {
    title: `a name with A and AAAA (${PLACE.dual.name})`,
    run: async (scene) => {
      const answer = await dig(scene, 'host', PLACE.dual.name, 'A')
      same('answer', answer, await dig(scene, 'neighbour', PLACE.dual.name, 'A'))
      same('address', await addressOf(scene, PLACE.dual.name), PLACE.dual.ip4)
      const { stdout } = await curl(scene, [`http://${PLACE.dual.name}/ip`])
      same('client address at the server', stdout.trim(), PLACE.router.ip4)
      return `untouched: ${PLACE.dual.ip4}; the server sees the LAN’s router ${stdout.trim()}, not the TT`
    },
  },
  {
    title: 'a name that does not exist',
    run: async (scene) => {
      const answer = await dig(scene, 'host', 'missing.example', 'A')
      same('answer', answer, await dig(scene, 'neighbour', 'missing.example', 'A'))
      if (!answer.includes('NXDOMAIN')) throw new LabError(answer)
      return 'NXDOMAIN, the same answer that a neighbour without a bridge gets'
    },
  },
]

/** What an operator could have changed on the host: compared before and after. */
export async function hostState(scene: Scene): Promise<string> {
  const shown = await Promise.all([
    scene.lab.must('host', 'ip', ['-o', 'address']),
    scene.lab.must('host', 'ip', ['route', 'show', 'table', 'all']),
    scene.lab.must('host', 'sh', ['-c', 'cat /etc/resolv.conf; cat /etc/hosts 2>/dev/null || :']),
    scene.lab.must('host', 'nft', ['list', 'ruleset']),
  ])
  return shown.join('').replaceAll(/valid_lft \w+|preferred_lft \w+/g, '')
}

/** curl on the host; throws with its complaint when it fails. */
async function curl(scene: Scene, args: readonly string[]): Promise<Outcome> {
  const done = await scene.lab.run('host', 'curl', ['-sS', '--fail', '--max-time', '60', ...args], { limitMs: 70_000 })
  if (done.code !== 0) throw new LabError(done.stderr.trim() || `curl: exit ${done.code}`)
  return done
}

/** What the resolver on the LAN says to a room, without the parts that differ from one query to the next (id, TTL, time). */
async function dig(scene: Scene, room: Room, name: string, type: string): Promise<string> {
  const args = [
    `@${PLACE.lan.router}`,
    '+noall',
    '+comments',
    '+answer',
    '+authority',
    '+nottlid',
    '+tries=1',
    name,
    type,
  ]
  return (await scene.lab.must(room, 'dig', args)).replace(/id: \d+/, '')
}

/** The IPv4 address the host's own resolver library gives for a name. */
async function addressOf(scene: Scene, name: string): Promise<string> {
  const text = await scene.lab.must('host', 'getent', ['ahostsv4', name])
  return text.split(/\s/)[0] ?? ''
}

function same(what: string, got: string, want: string): void {
  if (got !== want) throw new LabError(`${what}: expected ${want.trim()}, got ${got.trim() || 'nothing'}`)
}

const rate = (ms: number): string => `${(ms / 1000).toFixed(1)} s, ${Math.round((BIG_BYTES * 8) / ms / 1000)} Mbit/s`
