import { mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { LabError } from './ip.ts'
import { type Lab, ROOT } from './netns.ts'
import { type Program, until } from './process.ts'

/** A value as TOML writes it. */
export type TomlValue = string | number | boolean | readonly string[]
export type Settings = Readonly<Record<string, TomlValue>>

/** Roles of `ntm`, and how each is started; `examples/<role>.toml` is what its configuration is made from. */
export type Role = 'coordinator' | 'relay' | 'tt' | 'bridge' | 'node'

/**
 * A copy of a configuration text with some keys set otherwise; `changes` is keyed `table.key` (`key` alone at the top).
 * Only keys that the text has: a renamed key is an error here rather than a setting that nobody reads.
 */
export function withSettings(text: string, changes: Settings): string {
  const left = new Map(Object.entries(changes))
  let table = ''
  const lines = text.split('\n').map((line) => {
    table = /^\[(.+)\]/.exec(line)?.[1] ?? table
    const key = /^(\w+)\s*=/.exec(line)?.[1]
    const path = key === undefined ? '' : table === '' ? key : `${table}.${key}`
    const value = left.get(path)
    if (value === undefined) return line
    left.delete(path)
    return `${key} = ${JSON.stringify(value)}`
  })
  if (left.size > 0) throw new LabError(`the example has no ${[...left.keys()].join(', ')}`)
  return lines.join('\n')
}

export type NetworkPlan = {
  readonly zone: string
  /** Where the coordinator is reached, `ADDRESS:PORT`. */
  readonly endpoints: readonly string[]
  /** More of `ntm network init`. */
  readonly more?: readonly string[]
}

/** One network of the product: its keys in a directory, its programs started one by one in rooms of a lab, as a person would. */
export class Programs {
  readonly lab: Lab
  /** By room. */
  readonly running = new Map<string, Program>()
  readonly #home: string

  /** `name` keeps several networks of one lab apart. */
  constructor(lab: Lab, name = '') {
    this.lab = lab
    this.#home = name
  }

  /** `ntm network init` in the coordinator's room: the root key and the coordinator's certificate. Returns what it printed. */
  initNetwork(room: string, { zone, endpoints, more = [] }: NetworkPlan): Promise<string> {
    return this.ntm(room, [
      ...['network', 'init', '--dir', this.networkDir, '--name', 'demo', '--zone', zone],
      ...['--endpoint', endpoints.join(','), ...more],
    ])
  }

  get networkDir(): string {
    return this.dir('network')
  }

  /** `ntm token create`: one enrolment token in a file of mode 0600 below `home`; returns its path. */
  async token(room: string, name: string, role: Exclude<Role, 'coordinator'>, home = name): Promise<string> {
    const text = await this.ntm(room, [
      ...['token', 'create', '--dir', this.networkDir, '--name', name, '--role', role],
    ])
    return this.lab.file(join(this.#home, `${home}/token`), text, 0o600)
  }

  /** Starts the coordinator and waits until it says that it is ready. */
  coordinator(room: string, changes: Settings = {}): Promise<Program> {
    return this.start(room, 'coordinator', 'coordinator', { 'network.dir': this.networkDir, ...changes })
  }

  /**
   * Starts a box that enrols with a token made now in the coordinator's room. `name`: its name in the zone, without the zone; `home`: the folder of
   * its configuration, token and state.
   */
  async box(
    room: string,
    role: Exclude<Role, 'coordinator'>,
    name: string,
    changes: Settings = {},
    { home = name, coordinator = 'coordinator' }: { readonly home?: string; readonly coordinator?: string } = {},
  ): Promise<Program> {
    const token = await this.token(coordinator, name, role, home)
    return this.start(room, role, home, { 'network.token_file': token, ...changes })
  }

  /** The example, changed only where this network differs: its addresses, its directories, JSON logs. */
  async start(room: string, role: Role, home: string, changes: Settings): Promise<Program> {
    const example = readFileSync(join(ROOT, `examples/${role}.toml`), 'utf8')
    const state = role === 'coordinator' ? {} : { state: this.dir(`${home}/state`) }
    const own = { ...state, 'control.socket': this.socket(home), 'log.format': 'json' }
    const text = withSettings(example, { ...own, ...changes })
    return this.run(room, role, this.lab.file(join(this.#home, `${home}/ntm.toml`), text))
  }

  /** Starts a program with a configuration that is there already, and waits until it logs `"event":"role.ready"`. */
  async run(room: string, role: Role, file: string): Promise<Program> {
    const verb = role === 'node' ? 'up' : role
    // A program that is started again writes on in the log of the one before.
    const before = this.running.get(room)?.text().length ?? 0
    const program = this.lab.spawn(room, `${room}-ntm-${role}`, process.execPath, [NTM, verb, '--config', file])
    this.running.set(room, program)
    if (before === 0) await program.line(READY, 20_000)
    else await until(`${room} is ready again`, () => (READY.test(program.text().slice(before)) ? true : null), 20_000)
    return program
  }

  /** One `ntm` command to its end. */
  ntm(room: string, args: readonly string[]): Promise<string> {
    return this.lab.must(room, process.execPath, [NTM, ...args])
  }

  /** Where `ntm status` finds the program of that home. */
  socket(home: string): string {
    return join(this.lab.dir, this.#home, `${home}.sock`)
  }

  /** What `ntm status --json` says of the program of that home. */
  async status(room: string, home: string): Promise<Readonly<Record<string, unknown>>> {
    return JSON.parse(await this.ntm(room, ['status', '--json', '--socket', this.socket(home)]))
  }

  dir(name: string): string {
    const path = join(this.lab.dir, this.#home, name)
    mkdirSync(dirname(path), { recursive: true })
    return path
  }
}

const READY = /"event":"role\.ready"/
const NTM = join(ROOT, 'src/cli/ntm.ts')
