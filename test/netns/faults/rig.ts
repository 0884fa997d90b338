import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { LabError } from '#lab/ip.ts'
import { ROOT } from '#lab/netns.ts'
import { type Program, pause, until } from '#lab/process.ts'
import { Product } from '#lab/product.ts'
import { PLACE, type Room, type Scene, type SceneOptions, v4HostToV6Server } from '#lab/scenes/v4-host-to-v6-server.ts'

export const NTM = join(ROOT, 'src/cli/ntm.ts')

export type Role = 'coordinator' | 'tt' | 'bridge'
export type Line = { readonly event: string; readonly [field: string]: unknown }
/** What a host got for one query, and how long it took. */
export type Got = { readonly status: string; readonly answers: string; readonly ms: number }

/** The scene with the product on it, and eyes on everything a fault could leave behind. */
export class Rig {
  readonly scene: Scene
  readonly product: Product

  private constructor(scene: Scene) {
    this.scene = scene
    this.product = new Product(scene)
  }

  static async up(options: SceneOptions = {}, init: readonly string[] = []): Promise<Rig> {
    const rig = new Rig(await v4HostToV6Server(options))
    try {
      await rig.ntm(
        'network',
        'init',
        '--dir',
        rig.networkDir,
        '--name',
        'demo',
        '--zone',
        'ntm.example',
        ...init,
        '--endpoint',
        `${PLACE.coordinator.ip4}:4330,[${PLACE.coordinator.ip6}]:4330`,
      )
      await rig.product.coordinator()
      await rig.product.tt()
      await rig.product.bridge()
      return rig
    } catch (fault) {
      process.stderr.write(`the lab's logs: ${rig.scene.lab.keepLogs('failed-faults')}\n`)
      rig.scene.dispose()
      throw fault
    }
  }

  get networkDir(): string {
    return join(this.scene.lab.dir, 'network')
  }

  ntm(...args: readonly string[]): Promise<string> {
    return this.scene.lab.must('coordinator', process.execPath, [NTM, ...args])
  }

  program(role: Role): Program {
    const program = this.product.programs[role]
    if (program === undefined) throw new LabError(`${role} was never started`)
    return program
  }

  /** kill -9, as a power cut would, and wait until it is gone. */
  async kill(role: Role): Promise<void> {
    const program = this.program(role)
    program.kill('SIGKILL')
    await program.exited
  }

  /** The same program on the same configuration and disk. */
  async again(role: Role): Promise<void> {
    const file = join(this.scene.lab.dir, `${role}/ntm.toml`)
    const before = this.program(role).text().length
    const program = this.scene.lab.spawn(role, `${role}-ntm-${role}`, process.execPath, [NTM, role, '--config', file])
    this.product.programs[role] = program
    await until(
      `${role} is ready again`,
      () => (program.text().slice(before).includes('"role.ready"') ? true : null),
      20_000,
    )
  }

  /** All lines a program has logged so far, over all its starts. */
  lines(role: Role): Line[] {
    return linesOf(this.program(role).text())
  }

  /** Lines logged since `mark`, without those that only tell of ordinary life. */
  since(role: Role, mark: number): Line[] {
    return this.lines(role).slice(mark)
  }

  mark(role: Role): number {
    return this.lines(role).length
  }

  /** Counters and table sizes of a role, asked for by SIGUSR1. */
  async counters(role: Role): Promise<Readonly<Record<string, number>>> {
    const mark = this.mark(role)
    this.program(role).kill('SIGUSR1')
    const line = await until(
      `${role} tells its counters`,
      () => this.since(role, mark).find((l) => l.event === 'role.counters') ?? null,
      5000,
    )
    return Object.fromEntries(Object.entries(line).filter((e): e is [string, number] => typeof e[1] === 'number'))
  }

  /** Table sizes of all three roles that run. */
  async tables(): Promise<string> {
    const all = await Promise.all(
      (['coordinator', 'tt', 'bridge'] as const).map(async (role) => [role, await this.counters(role)] as const),
    )
    return all
      .flatMap(([role, c]) =>
        Object.entries(c)
          .filter(([k]) => k.startsWith('table.'))
          .map(([k, v]) => `${role} ${k} ${v}`),
      )
      .join('\n')
  }

  /** One query by the host, as its stub resolver would, without a second try. */
  async ask(name: string, type = 'A', room: Room = 'host'): Promise<Got> {
    const args = [`@${PLACE.lan.router}`, '+noall', '+comments', '+answer', '+tries=1', '+time=4', name, type]
    const { stdout, ms } = await this.scene.lab.run(room, 'dig', args)
    const status = /status: (\w+)/.exec(stdout)?.[1] ?? 'nothing'
    const answers = stdout
      .split('\n')
      .filter((l) => l !== '' && !l.startsWith(';'))
      .join('\n')
    return { status, answers, ms }
  }

  /** Waits until the host gets the page: its pair is granted then, and its path stands. */
  async warm(): Promise<void> {
    await until('the first page', async () => ((await this.page()) ? true : null), 20_000)
  }

  /** Whether the host gets the page of the IPv6-only server. */
  async page(limitSeconds = 4): Promise<boolean> {
    const { stdout } = await this.scene.lab.run('host', 'curl', [
      '-sS',
      '--max-time',
      `${limitSeconds}`,
      `http://${PLACE.web6.name}/`,
    ])
    return stdout.startsWith('This is the page')
  }

  /** Interfaces, routes and nftables of the rooms where a role runs, without what changes by itself. */
  async machine(rooms: readonly Room[] = ['coordinator', 'tt', 'bridge']): Promise<string> {
    const shown = await Promise.all(
      rooms.map(async (room) => {
        const out = await this.scene.lab.must(room, 'sh', [
          '-c',
          'ip -o link; ip -o address; ip route show table all; ip -6 route show table all; ip rule; nft -s list ruleset',
        ])
        return `${room}:\n${out}`
      }),
    )
    const spaces = (await this.scene.lab.must('tt', 'ip', ['netns', 'list']))
      .split('\n')
      .filter((l) => l.includes(this.scene.lab.tag)).length
    return (
      [...shown, `${spaces} namespaces`]
        .join('')
        .replaceAll(/expires \w+/g, 'expires')
        .replaceAll(/(valid_lft|preferred_lft) \w+/g, '$1')
        .replaceAll(/^\d+: /gm, '')
        .replaceAll(/@if\d+/g, '@if')
        .replaceAll(/ifindex \d+|link\/none.*$|qlen \d+/gm, '')
        .replaceAll(/inet6 fe80::\S+|fe80::[0-9a-f:]+ dev ntm\S+/g, 'inet6 fe80')
        .replaceAll(/\s+expires \d+sec/g, '')
        // The TAP's own address is drawn anew each time; nothing ever speaks from it.
        .replaceAll(/(\bntmx0: .*link\/ether) \S+/g, '$1')
    )
  }

  /** What the coordinator has on disk, in rows; without the moment at which a box last lost a path. */
  rows(tables: readonly string[] = ['member', 'pin', 'host', 'server', 'contract', 'token']): string {
    const db = new DatabaseSync(join(this.networkDir, 'coordinator.db'), { readOnly: true })
    try {
      return tables
        .map((t) => `${t}: ${JSON.stringify(db.prepare(`SELECT * FROM ${t} ORDER BY 1, 2`).all(), bytesAsHex)}`)
        .join('\n')
    } finally {
      db.close()
    }
  }

  dispose(): void {
    this.scene.dispose()
  }
}

export function linesOf(text: string): Line[] {
  return text.split('\n').flatMap((line) => {
    try {
      return line.startsWith('{') ? [JSON.parse(line) as Line] : []
    } catch {
      // The last line of a killed program may be half a line.
      return []
    }
  })
}

export { pause }

const bytesAsHex = (key: string, value: unknown): unknown =>
  key === 'path_ended' ? undefined : value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value
