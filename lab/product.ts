import type { Program } from './process.ts'
import { Programs, type Role, type Settings } from './programs.ts'
import { PLACE, type Scene } from './scenes/v4-host-to-v6-server.ts'

export { withSettings } from './programs.ts'

/** The product's programs in the scene `v4-host-to-v6-server`, started one by one, in the order a person would. */
export class Product {
  readonly #programs: Programs
  readonly programs: Partial<Record<'coordinator' | 'tt' | 'bridge', Program>> = {}

  constructor(scene: Scene) {
    this.#programs = new Programs(scene.lab)
  }

  /** `ntm network init`: the root key and the coordinator's certificate, on the coordinator. Returns what it printed. */
  initNetwork(): Promise<string> {
    return this.#programs.initNetwork('coordinator', {
      zone: 'ntm.example',
      endpoints: [`${PLACE.coordinator.ip4}:4330`],
    })
  }

  /** One enrolment token, put where the box's configuration looks for it (mode 0600). */
  token(name: string, role: 'bridge' | 'tt'): Promise<string> {
    return this.#programs.token('coordinator', name, role, role)
  }

  /** Starts the coordinator and waits until it says that it is ready. */
  async coordinator(changes: Settings = {}): Promise<Program> {
    return this.#keep('coordinator', await this.#programs.coordinator('coordinator', changes))
  }

  /** Starts the TT: enrols with its token first. Documentation prefixes are reserved, so the lab's servers are opened on purpose. */
  async tt(changes: Settings = {}): Promise<Program> {
    return this.#box('tt', 'tt1', {
      'tt.uplink': PLACE.tt.link,
      'tt.resolvers': [PLACE.resolver.ip4],
      'tt.allow': ['2001:db8::/32', '192.0.2.0/24'],
      ...changes,
    })
  }

  /** Starts the bridge: enrols with its token first. */
  async bridge(changes: Settings = {}): Promise<Program> {
    const { hostPort, netPort, bridge } = PLACE.bridge
    return this.#box('bridge', 'bridge1', {
      'bridge.host': hostPort,
      'bridge.net': netPort,
      'bridge.bridge': bridge,
      ...changes,
    })
  }

  /** What `ntm status --json` says of the program of that role. */
  status(role: 'coordinator' | 'tt' | 'bridge'): Promise<Readonly<Record<string, unknown>>> {
    return this.#programs.status(role, role)
  }

  async #box(role: 'tt' | 'bridge', name: string, changes: Settings): Promise<Program> {
    return this.#keep(role, await this.#programs.box(role, role, name, changes, { home: role }))
  }

  #keep(role: Extract<Role, 'coordinator' | 'tt' | 'bridge'>, program: Program): Program {
    this.programs[role] = program
    return program
  }
}
