import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Internet } from '#lab/internet.ts'
import { Lab, ROOT } from '#lab/netns.ts'
import type { Outcome, Program } from '#lab/process.ts'
import { Programs } from '#lab/programs.ts'
import { resolver } from '#lab/services.ts'

/*
 *   coordinator ─┐
 *   resolver ────┼── inet ── wan [ home: global addresses ] lan0 ── eth0 alice
 *   bob ─────────┘
 *
 * The resolver knows web.other.example, and nothing of ntm.example. Both terminals have it in their resolv.conf.
 */
export class Place {
  readonly lab = new Lab()
  readonly net = new Internet(this.lab)
  readonly programs = new Programs(this.lab)
  coordinator = ''
  #again = 0
  resolver = ''

  static async up(): Promise<Place> {
    const place = new Place()
    try {
      await place.#build()
      return place
    } catch (fault) {
      place.dispose('failed-terminals')
      throw fault
    }
  }

  async #build(): Promise<void> {
    const { lab, net, programs } = this
    const { ip4, ip6 } = await net.server('coordinator')
    this.coordinator = ip4
    this.resolver = (await net.server('resolver')).ip4
    const many = Array.from({ length: 120 }, (_, i) => `many A 203.0.113.${i + 1}`)
    await resolver(lab, 'resolver', [
      { origin: 'other.example', records: ['web A 20.9.9.9', 'web AAAA 2001:db8:9::9', 'web TXT "a text"', ...many] },
    ])
    await net.server('bob')
    lab.room('alice')
    net.join('alice', 'eth0', await net.site('home', 'none'))
    for (const room of ['alice', 'bob']) lab.etc(room, 'resolv.conf', this.resolvConf)
    await programs.initNetwork('coordinator', { zone: 'ntm.example', endpoints: [`${ip4}:4330`, `[${ip6}]:4330`] })
    await programs.coordinator('coordinator')
  }

  /** What both have before. */
  get resolvConf(): string {
    return `# from the lab\nsearch other.example\nnameserver ${this.resolver}\noptions timeout:1\n`
  }

  /** `ntm up`, enrolled under the room's name. */
  up(room: string, changes: Parameters<Programs['box']>[3] = {}): ReturnType<Programs['box']> {
    return this.programs.box(room, 'node', room, { 'control.socket': this.socket(room), ...changes })
  }

  /** `ntm up` once more, with the configuration of the first time; in a log of its own, where only its own words are. */
  async again(room: string): Promise<Program> {
    const ntm = join(ROOT, 'src/cli/ntm.ts')
    const name = `${room}-again-${++this.#again}`
    const program = this.lab.spawn(room, name, process.execPath, [ntm, 'up', '--config', this.config(room)])
    this.programs.running.set(room, program)
    await program.line(/"event":"role\.ready"/, 20_000)
    return program
  }

  ntm(room: string, ...args: readonly string[]): Promise<Outcome> {
    return this.lab.run(room, process.execPath, [join(ROOT, 'src/cli/ntm.ts'), ...args])
  }

  config(room: string): string {
    return join(this.lab.dir, `${room}/ntm.toml`)
  }

  socket(room: string): string {
    return join(this.lab.dir, `${room}.sock`)
  }

  /** The room's resolv.conf as its programs see it. */
  resolvConfOf(room: string): string {
    return readFileSync(join('/etc/netns', this.lab.netns(room), 'resolv.conf'), 'utf8')
  }

  dispose(keepAs: string | null = null): void {
    if (keepAs !== null) process.stderr.write(`the lab's logs: ${this.lab.keepLogs(keepAs)}\n`)
    this.lab.dispose()
  }
}
