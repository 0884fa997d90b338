import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { LabError } from './ip.ts'
import { Programs } from './programs.ts'
import { type Board, boxVm } from './scenes/box-in-line.ts'
import { firstOf28, PLACE, type Scene } from './scenes/v4-host-to-v6-server.ts'
import { type BoxPlan, boxFiles } from './vm/box-files.ts'
import { type Files, filesBelow, makeStick } from './vm/fat.ts'
import type { NicModel } from './vm/plan.ts'
import { BoxShell } from './vm/ssh.ts'
import type { Vm } from './vm.ts'

export type BoxRole = 'coordinator' | 'tt' | 'bridge'

/** Rooms of the scene in which boxes stand. */
export const BOX_ROOMS: readonly BoxRole[] = ['coordinator', 'tt', 'bridge']

/** The main job of the product in the scene `v4-host-to-v6-server` with boxes in place of programs: one image three times, told apart by sticks. */
export class VmProduct {
  readonly boxes: Partial<Record<BoxRole, Vm>> = {}
  readonly #scene: Scene
  readonly #programs: Programs

  /** The scene must have been built with `machines: BOX_ROOMS`. */
  constructor(scene: Scene) {
    this.#scene = scene
    this.#programs = new Programs(scene.lab)
  }

  /** On a machine apart: `ntm network init`, and a token for each box. What the sticks are made from. */
  async prepare(): Promise<Readonly<Record<BoxRole, Files>>> {
    const apart = 'inet'
    await this.#programs.initNetwork(apart, {
      zone: 'ntm.example',
      endpoints: [`${PLACE.coordinator.ip4}:4330`],
    })
    const token = async (name: string, role: 'tt' | 'bridge'): Promise<string> =>
      readFileSync(await this.#programs.token(apart, name, role), 'utf8')
    const tokens = { tt: await token('tt1', 'tt'), bridge: await token('bridge1', 'bridge') }
    const network = filesBelow(this.#programs.networkDir, 'network')
    return {
      coordinator: this.#files({
        role: 'coordinator',
        appliance: standing('coordinator'),
        settings: { 'dns.listen': ['0.0.0.0:53'], 'dns.resolvers': [PLACE.resolver.ip4] },
        files: network,
      }),
      tt: this.#files({
        role: 'tt',
        appliance: standing('tt'),
        settings: {
          'tt.uplink': 'net0',
          'tt.resolvers': [PLACE.resolver.ip4],
          'tt.allow': ['2001:db8::/32', '192.0.2.0/24'],
        },
        token: tokens.tt,
      }),
      bridge: this.#files({ role: 'bridge', appliance: { hostname: 'bridge1' }, token: tokens.bridge }),
    }
  }

  /** Puts a box into its room, with its stick in it, and turns it on. Resolves when it is what the stick says. */
  async start(
    role: BoxRole,
    files: Files,
    options: { readonly board?: Board; readonly model?: NicModel } = {},
  ): Promise<Vm> {
    const { lab } = this.#scene
    const stick = join(lab.dir, `${role}-stick.img`)
    makeStick(stick, files)
    const model = options.model ?? 'virtio-net-pci'
    const { hostPort, netPort } = PLACE.bridge
    const links = role === 'bridge' ? [netPort, hostPort] : [PLACE[role].link]
    const nics = links.map((link, i) => ({ link, linkAddr: `52:54:00:00:${ROOM_BYTE[role]}:0${i + 1}`, model }))
    const vm = boxVm(lab, { room: role, nics, stick, ...options })
    this.boxes[role] = vm
    await vm.start()
    await vm.until(new RegExp(`ntm: ready as ${role}`), { limitMs: 420_000, unless: /Kernel panic/ })
    return vm
  }

  /** Asks inside a box, from the Internet's router or, for the bridge, from a neighbour on its LAN. */
  async shell(role: BoxRole): Promise<BoxShell> {
    const { lab } = this.#scene
    if (role !== 'bridge') return new BoxShell(lab, 'inet', PLACE[role].ip4)
    const leases = readFileSync(join(lab.dir, 'router-leases'), 'utf8').split('\n')
    const mine = leases.find((line) => line.includes(`:${ROOM_BYTE.bridge}:0`))?.split(' ')[2]
    if (mine === undefined) throw new LabError(`the bridge has no lease:\n${leases.join('\n')}`)
    return new BoxShell(lab, 'neighbour', mine)
  }

  #files(plan: BoxPlan): Files {
    const key = BoxShell.publicKey(this.#scene.lab)
    return boxFiles({ ...plan, appliance: { ssh_keys: [key], ...plan.appliance } })
  }
}

/** Addresses of a box on the Internet. */
function standing(role: 'coordinator' | 'tt'): Readonly<Record<string, string>> {
  const { ip4, ip6 } = PLACE[role]
  return {
    hostname: role,
    address: `${ip4}/28`,
    gateway: firstOf28(ip4),
    address6: `${ip6}/64`,
    gateway6: ip6.replace(/::.*$/, '::1'),
  }
}

const ROOM_BYTE = { coordinator: '0c', tt: '0e', bridge: '0b' } as const
