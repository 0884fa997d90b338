import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { LabError } from './ip.ts'
import { ROOT } from './netns.ts'
import type { Program } from './process.ts'
import { PLACE, type Room, type Scene } from './scenes/v4-host-to-v6-server.ts'

/** A value as TOML writes it. */
type TomlValue = string | number | boolean | readonly string[]

/**
 * A copy of a configuration text with some keys set otherwise; `changes` is keyed `table.key` (`key` alone at the top).
 * Only keys that the text has: a renamed key is an error here rather than a setting that nobody reads.
 */
export function withSettings(text: string, changes: Readonly<Record<string, TomlValue>>): string {
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

/** The product's programs in the scene, started one by one, in the order a person would. */
export class Product {
  readonly #scene: Scene
  readonly programs: Partial<Record<'coordinator' | 'tt' | 'bridge', Program>> = {}

  constructor(scene: Scene) {
    this.#scene = scene
  }

  /** `ntm network init`: the root key and the coordinator's certificate, on the coordinator. Returns what it printed. */
  initNetwork(): Promise<string> {
    const endpoint = `${PLACE.coordinator.ip4}:4330`
    return this.#ntm('coordinator', [
      ...['network', 'init', '--dir', this.#dir('network'), '--name', 'demo'],
      ...['--zone', 'ntm.example', '--endpoint', endpoint],
    ])
  }

  /** `ntm token create`: one enrolment token, put where the box's configuration looks for it (mode 0600). */
  async token(name: string, role: 'bridge' | 'tt'): Promise<string> {
    const text = await this.#ntm('coordinator', [
      ...['token', 'create', '--dir', this.#dir('network'), '--name', name, '--role', role],
    ])
    return this.#scene.lab.file(`${role}/token`, text, 0o600)
  }

  /** Starts the coordinator and waits until it says that it is ready. */
  coordinator(changes: Readonly<Record<string, TomlValue>> = {}): Promise<Program> {
    return this.#start('coordinator', { 'network.dir': this.#dir('network'), ...changes })
  }

  /** Starts the TT: enrols with its token first. Documentation prefixes are reserved, so the lab's servers are opened on purpose. */
  async tt(changes: Readonly<Record<string, TomlValue>> = {}): Promise<Program> {
    return this.#start('tt', {
      'network.token_file': await this.token('tt1', 'tt'),
      'tt.uplink': PLACE.tt.link,
      'tt.resolvers': [PLACE.resolver.ip4],
      'tt.allow': ['2001:db8::/32', '192.0.2.0/24'],
      ...changes,
    })
  }

  /** Starts the bridge: enrols with its token first. */
  async bridge(changes: Readonly<Record<string, TomlValue>> = {}): Promise<Program> {
    const { hostPort, netPort, bridge } = PLACE.bridge
    return this.#start('bridge', {
      'network.token_file': await this.token('bridge1', 'bridge'),
      'bridge.host': hostPort,
      'bridge.net': netPort,
      'bridge.bridge': bridge,
      ...changes,
    })
  }

  /** The examples, changed only where this network differs: its addresses, its directories, JSON logs. */
  #start(role: 'coordinator' | 'tt' | 'bridge', changes: Readonly<Record<string, TomlValue>>): Promise<Program> {
    const example = readFileSync(join(ROOT, `examples/${role}.toml`), 'utf8')
    const state = role === 'coordinator' ? {} : { state: this.#dir(`${role}/state`) }
    const settings = { ...state, 'log.format': 'json', ...changes }
    const file = this.#scene.lab.file(`${role}/ntm.toml`, withSettings(example, settings))
    return this.#scene.startNtm(role, [role], file).then((program) => {
      this.programs[role] = program
      return program
    })
  }

  #ntm(room: Room, args: readonly string[]): Promise<string> {
    return this.#scene.lab.must(room, process.execPath, [join(ROOT, 'src/cli/ntm.ts'), ...args])
  }

  #dir(name: string): string {
    const path = join(this.#scene.lab.dir, name)
    mkdirSync(join(path, '..'), { recursive: true })
    return path
  }
}
