import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '#lab/netns.ts'
import { type Program, until } from '#lab/process.ts'
import { Product } from '#lab/product.ts'
import { PLACE, type Room, type Scene, type SceneOptions, v4HostToV6Server } from '#lab/scenes/v4-host-to-v6-server.ts'

/**
 * The scene with coordinator and TT running and the bridge box in the tester's hands. Both ends of the box's wire can be
 * listened to and spoken at: the host's `eth0`, and `lan1`, where the LAN's switch begins.
 *
 *   host eth0 ── host0 [ box ] net0 ── lan1 [ router's switch ] lan2 ── eth0 neighbour
 */
export class Rig {
  readonly scene: Scene
  readonly product: Product
  /** The bridge program started last. */
  program: Program | null = null
  #count = 0

  static async build(
    options: SceneOptions = {},
    roles: readonly ('coordinator' | 'tt')[] = ['coordinator', 'tt'],
  ): Promise<Rig> {
    const rig = new Rig(await v4HostToV6Server(options))
    try {
      await rig.product.initNetwork()
      for (const role of roles) await rig.product[role]()
      return rig
    } catch (fault) {
      rig.scene.dispose()
      throw fault
    }
  }

  private constructor(scene: Scene) {
    this.scene = scene
    this.product = new Product(scene)
  }

  /** The first start enrols; later ones find everything in the state directory, as after a reboot. */
  async start(changes: Parameters<Product['bridge']>[0] = {}): Promise<Program> {
    if (this.program === null) {
      this.program = await this.product.bridge(changes)
      return this.program
    }
    this.program = this.spawnBridge()
    await this.program.line(/"event":"role\.ready"/, 20_000)
    return this.program
  }

  /** Starts the program as the box's next boot would; does not wait for anything. */
  spawnBridge(): Program {
    const args = [join(ROOT, 'src/cli/ntm.ts'), 'bridge', '--config', this.#config()]
    return this.scene.lab.spawn('bridge', `bridge-again-${++this.#count}`, process.execPath, args)
  }

  /** Changes a line of the box's configuration. */
  reconfigure(from: string, to: string): void {
    const text = readFileSync(this.#config(), 'utf8')
    if (!text.includes(from)) throw new Error(`${from} is not in the configuration`)
    writeFileSync(this.#config(), text.replace(from, to))
  }

  #config(): string {
    return join(this.scene.lab.dir, 'bridge/ntm.toml')
  }

  /** SIGKILL; resolves when the process is gone. Its nft child has its own session and sees only its input end. */
  async kill(): Promise<void> {
    this.program?.kill('SIGKILL')
    await this.program?.exited
  }

  freeze(): void {
    this.program?.kill('SIGSTOP')
  }

  thaw(): void {
    this.program?.kill('SIGCONT')
  }

  /** One of the test programs beside this folder, in a room. */
  spawn(room: Room, name: string, script: string, ...args: readonly string[]): Program {
    const file = join(ROOT, 'test/netns/programs', script)
    return this.scene.lab.spawn(room, `${name}-${++this.#count}`, process.execPath, [file, ...args])
  }

  async ear(side: Side): Promise<Ear> {
    const { room, link } = SIDES[side]
    const program = this.spawn(room, `ear-${side}`, 'wire-ear.ts', link)
    await program.line(/^ear\.ready/)
    return new Ear(program)
  }

  /** Sends each frame once from that side. */
  async say(side: Side, frames: readonly Buffer[]): Promise<void> {
    const { room, link } = SIDES[side]
    const args = [join(ROOT, 'test/netns/programs/wire-mouth.ts'), link, this.#file(frames)]
    await this.scene.lab.must(room, process.execPath, args)
  }

  /** Sends each frame every `periodMs` until the lab ends. */
  chant(side: Side, frames: readonly Buffer[], periodMs: number): Program {
    const { room, link } = SIDES[side]
    return this.spawn(room, `mouth-${side}`, 'wire-mouth.ts', link, this.#file(frames), `${periodMs}`)
  }

  #file(frames: readonly Buffer[]): string {
    return this.scene.lab.file(`frames-${++this.#count}`, frames.map((f) => f.toString('hex')).join('\n'))
  }

  async linkAddr(room: Room, link: string): Promise<string> {
    return (await this.scene.lab.must(room, 'cat', [`/sys/class/net/${link}/address`])).trim().replaceAll(':', '')
  }

  /** The server pool of IPv6 as the box keeps it: a /64, given as `fdxx:xxxx:xxxx:0:` ready for an interface id. */
  servers6(): string {
    const { virtual } = JSON.parse(readFileSync(join(this.scene.lab.dir, 'bridge/state/plan.json'), 'utf8')) as {
      virtual: string[]
    }
    const prefix = virtual.find((text) => text.endsWith('/64'))
    if (prefix === undefined) throw new Error(`no /64 in ${virtual.join(', ')}`)
    return prefix.replace(/\/64$/, '')
  }

  page(name: string = PLACE.web6.name): Promise<string> {
    return this.scene.lab.must('host', 'curl', ['-sS', '--fail', '--max-time', '10', `http://${name}/`])
  }
}

/** Frames that arrived at one end of the wire. */
export class Ear {
  readonly program: Program

  constructor(program: Program) {
    this.program = program
  }

  /** Everything heard so far: when (ms since 1970) and what (hex). */
  heard(): { readonly t: number; readonly hex: string }[] {
    return this.program
      .text()
      .split('\n')
      .slice(1, -1)
      .map((line) => ({ t: Number(line.slice(0, line.indexOf(' '))), hex: line.slice(line.indexOf(' ') + 1) }))
  }

  /** Frames from one sender, in order, after at least `count` of them came or 3 s passed. */
  async from(sender: string, count: number): Promise<string[]> {
    const mine = (): string[] => this.heard().flatMap(({ hex }) => (hex.slice(12, 24) === sender ? [hex] : []))
    await until('frames', () => (mine().length >= count ? true : null), 3000).catch(() => {})
    return mine()
  }
}

export type Side = 'host' | 'net'
const SIDES = { host: { room: 'host', link: 'eth0' }, net: { room: 'router', link: 'lan1' } } as const

/** Milliseconds since 1970 with fractions, the clock of all test programs. */
export const wall = (): number => performance.timeOrigin + performance.now()
