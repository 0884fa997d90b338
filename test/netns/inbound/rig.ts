import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '#lab/netns.ts'
import { type Program, pause, until } from '#lab/process.ts'
import type { Settings } from '#lab/programs.ts'
import { type Side, type TwoBridges, type TwoBridgesOptions, twoBridges, ZONE } from '#lab/scenes/two-bridges.ts'
import { authority, udpEcho, webServer } from '#lab/services.ts'

export type Line = { readonly event: string; readonly [field: string]: unknown }

/** Two sites with the product running, and ordinary servers on one of the hosts. */
export class Rig {
  readonly scene: TwoBridges
  readonly bridges: Record<Side, Program>
  /** Where PUT /upload/NAME lands on the server host. */
  uploads = ''
  #starts = 1

  private constructor(scene: TwoBridges, bridges: Record<Side, Program>) {
    this.scene = scene
    this.bridges = bridges
  }

  static async up(options: TwoBridgesOptions, changes: Settings = {}): Promise<Rig> {
    const scene = await twoBridges(options)
    try {
      await scene.startCoordinator()
      for (const relay of scene.relays.keys()) await scene.startRelay(relay + 1)
      const [a, b] = await Promise.all([scene.startBridge('a', changes), scene.startBridge('b', changes)])
      return new Rig(scene, { a, b })
    } catch (fault) {
      process.stderr.write(`the lab's logs: ${scene.lab.keepLogs('failed-inbound')}\n`)
      scene.dispose()
      throw fault
    }
  }

  /** A web server, a UDP echo and a terminal on a host; they wait, and say nothing. */
  async serve(side: Side): Promise<void> {
    const { lab } = this.scene
    const room = `host${side}`
    const name = nameOf(side)
    const [web] = await Promise.all([
      webServer(lab, room, { name, listen: ['[::]', '0.0.0.0'], tls: authority(lab).issue([name]) }),
      udpEcho(lab, room, '::', UDP_PORT),
      this.program(room, 'keys', 'tcp-keys.ts', 'serve', `${KEYS_PORT}`).line(/^keys\.ready/),
    ])
    this.uploads = web.uploads
  }

  program(room: string, name: string, script: string, ...args: readonly string[]): Program {
    const file = join(ROOT, 'test/netns/programs', script)
    return this.scene.lab.spawn(room, `${room}-${name}`, process.execPath, [file, ...args])
  }

  /** Runs a command on a host; what it printed, with its exit code and errors when it failed. */
  async on(room: string, command: string, ...args: readonly string[]): Promise<string> {
    const done = await this.scene.lab.run(room, command, args, { limitMs: 90_000 })
    return done.code === 0 ? done.stdout.trim() : `exit ${done.code}: ${done.stdout}${done.stderr}`.trim()
  }

  /** How many of `count` pings were answered. */
  async ping(room: string, to: string, ...args: readonly string[]): Promise<number> {
    const { stdout } = await this.scene.lab.run(room, 'ping', ['-c3', '-i0.2', '-W2', ...args, to])
    return Number(/, (\d+) received/.exec(stdout)?.[1] ?? -1)
  }

  /** One query by a host, as its stub resolver would, without a second try. */
  async ask(room: string, name: string, type = 'A'): Promise<{ status: string; answers: string; ms: number }> {
    const query = type === 'PTR' ? ['-x', name] : [name, type]
    const args = ['+noall', '+comments', '+answer', '+tries=1', '+time=4', ...query]
    const { stdout, ms } = await this.scene.lab.run(room, 'dig', args)
    const status = /status: (\w+)/.exec(stdout)?.[1] ?? 'nothing'
    const answers = stdout.split('\n').flatMap((l) => (l === '' || l.startsWith(';') ? [] : [l.split(/\s+/)[4] ?? '']))
    return { status, answers: answers.join(' '), ms }
  }

  lines(side: Side): Line[] {
    return this.bridges[side]
      .text()
      .split('\n')
      .flatMap((line) => (line.startsWith('{') && line.endsWith('}') ? [JSON.parse(line) as Line] : []))
  }

  /** Waits until the name is answered: the host is known and the path stands. */
  async warm(from: Side, name: string): Promise<void> {
    await until(
      `${name} is answered to host${from}`,
      async () => ((await this.ask(`host${from}`, name)).status === 'NOERROR' ? true : null),
      20_000,
    )
  }

  /** `kill -9`, and the same program again on the same disk. */
  async restart(side: Side): Promise<void> {
    await this.kill(side)
    await this.start(side)
  }

  async kill(side: Side): Promise<void> {
    this.bridges[side].kill('SIGKILL')
    await this.bridges[side].exited
  }

  /** Under a name of its own: its log is not the last one's. */
  async start(side: Side): Promise<void> {
    const file = join(this.scene.lab.dir, `bridge-${side}/ntm.toml`)
    const args = [join(ROOT, 'src/cli/ntm.ts'), 'bridge', '--config', file]
    const again = this.scene.lab.spawn(`bridge${side}`, `bridge-${side}-${++this.#starts}`, process.execPath, args)
    this.bridges[side] = again
    await again.line(/"event":"role\.ready"/, 20_000)
  }

  /** What a bridge keeps of its hosts; waits until it is written. */
  remembered(side: Side, text: string): Promise<true> {
    const file = join(this.scene.lab.dir, `bridge-${side}/state/hosts.json`)
    return until(
      `bridge ${side} remembers ${text}`,
      async () => {
        try {
          return readFileSync(file, 'utf8').includes(text) ? true : null
        } catch {
          return null // expected: not written yet
        }
      },
      15_000,
    )
  }

  dispose(): void {
    this.scene.dispose()
  }
}

export const nameOf = (side: Side): string => `bridge-${side}.${ZONE}`
export const UDP_PORT = 7777
export const KEYS_PORT = 2222
export { pause }
