import { spawn } from 'node:child_process'
import { parseArgs } from 'node:util'
import { emptyPlace, hostAsks } from './empty-place.ts'
import { whyNoLab } from './netns.ts'
import { Product } from './product.ts'
import { type Scene, type SceneOptions, v4HostToV6Server } from './scenes/v4-host-to-v6-server.ts'

/** `npm run lab -- SCENE [--shell ROOM] [--product | --box] [--nat KIND]`: builds a scene and keeps it open to look around in. */
const SCENES: Readonly<Record<string, (options: SceneOptions) => Promise<Scene>>> = {
  'v4-host-to-v6-server': v4HostToV6Server,
}
const NATS = ['full-cone', 'address-restricted', 'port-restricted', 'symmetric'] as const

const usage = `usage: npm run lab -- SCENE [--shell ROOM] [--product | --box] [--nat KIND]
  SCENE      ${Object.keys(SCENES).join(', ')}
  --shell    opens a shell in that room; without it the scene stays until Ctrl-C
  --product  starts coordinator, TT and bridge as well
  --box      starts coordinator and TT; the bridge's place waits for a box in QEMU, as docs/appliance/half-an-hour.md shows
  --nat      ${NATS.join(', ')}
`

process.exitCode = await main()

async function main(): Promise<number> {
  let asked: ReturnType<typeof read>
  try {
    asked = read()
  } catch (fault) {
    // parseArgs throws for every mistake in the command line, with a message meant for people.
    process.stderr.write(`${fault instanceof Error ? fault.message : String(fault)}\n${usage}`)
    return 2
  }
  const build = SCENES[asked.name]
  const nat = NATS.find((kind) => kind === asked.nat)
  if (build === undefined || nat === undefined) {
    process.stderr.write(usage)
    return 2
  }
  const why = whyNoLab()
  if (why !== null) {
    process.stderr.write(`lab: ${why}\n`)
    return 1
  }
  const scene = await build({ nat, machines: asked.box ? ['bridge'] : [] })
  try {
    if (asked.shell !== undefined && !scene.lab.rooms.includes(asked.shell)) {
      process.stderr.write(`lab: no room ${asked.shell}; rooms: ${scene.lab.rooms.join(', ')}\n`)
      return 2
    }
    if (asked.product) await startAll(scene)
    for (const room of scene.lab.rooms) {
      process.stdout.write(`  ${room.padEnd(12)} sudo ip netns exec ${scene.lab.netns(room)} bash\n`)
    }
    process.stdout.write(`  logs and files: ${scene.lab.dir}\n`)
    if (asked.box) await tellPlace(scene)
    if (asked.shell === undefined) await new Promise(() => setInterval(() => {}, 60_000))
    else await shell(scene, asked.shell)
    return 0
  } finally {
    scene.dispose()
  }
}

function read() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      shell: { type: 'string' },
      product: { type: 'boolean', default: false },
      box: { type: 'boolean', default: false },
      nat: { type: 'string', default: 'port-restricted' },
    },
  })
  return { name: positionals[0] ?? '', ...values }
}

async function tellPlace(scene: Scene): Promise<void> {
  const { taps, stick } = await emptyPlace(scene)
  const say = (text: string): void => void process.stdout.write(`  ${text}\n`)
  say(`for the box, in room bridge: taps ${taps.join(' (net0) and ')} (host0); what its stick has to bear: ${stick}`)
  // Not waited for: it ends when a box is there, or with the lab.
  void hostAsks(scene, say)
}

async function startAll(scene: Scene): Promise<void> {
  const product = new Product(scene)
  await product.initNetwork()
  await product.coordinator()
  await product.tt()
  await product.bridge()
}

/** An interactive shell in a room. Ctrl-C is the shell's business while it runs. */
function shell(scene: Scene, room: string): Promise<void> {
  const env = { ...process.env, PS1: `${room}# `, LAB_DIR: scene.lab.dir }
  const child = spawn('ip', ['netns', 'exec', scene.lab.netns(room), 'bash', '--norc'], { stdio: 'inherit', env })
  return new Promise((resolve) => child.on('exit', () => resolve()))
}
