import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished } from 'vitest'
import { whyNoLab } from '#lab/netns.ts'
import { Programs } from '#lab/programs.ts'
import { type Board, boxInLine, IN_LINE, type InLine, type InLineOptions, imageFile } from '#lab/scenes/box-in-line.ts'
import { type ApplianceTable, boxFiles, type Ports } from '#lab/vm/box-files.ts'
import type { ConsoleLine } from '#lab/vm/console.ts'
import { type Files, filesBelow } from '#lab/vm/fat.ts'
import { BoxShell } from '#lab/vm/ssh.ts'
import type { Vm } from '#lab/vm.ts'

/**
 * `describe` for tests that boot a built image. Where they cannot run they are skipped and the title says why; NTM_MUST_RUN=image runs them all
 * the same, so that they fail instead of hiding.
 */
export function describeImage(title: string, board: Board, body: () => void): void {
  const why = whyNoImage(board)
  if (why === null || (process.env['NTM_MUST_RUN'] ?? '').split(',').includes('image')) describe(title, body)
  else describe.skip(`${title} (skipped: ${why})`, body)
}

function whyNoImage(board: Board): string | null {
  const qemu = board === 'x86_64' ? 'qemu-system-x86_64' : 'qemu-system-aarch64'
  const found = (process.env['PATH'] ?? '').split(':').some((dir) => existsSync(join(dir, qemu)))
  if (!found) return `no ${qemu}: make setup-image`
  return existsSync(imageFile(board)) ? whyNoLab() : `no image: make image BOARD=${board}`
}

/** Lines of the console that tests wait for. */
export const SAYS = {
  wire: /ntm-wire: bridge forwards frames, ([\d.]+) s after the kernel started/,
  ready: (role: string) => new RegExp(`ntm: ready as ${role}, ([\\d.]+) s after the kernel started`),
  good: (slot: string) => new RegExp(`ntm-slot: ${slot} is good`),
  /** Nothing good comes after this one, without a reset. */
  panic: /Kernel panic/,
} as const

/** What a box in the line is configured as when a test wants to ask inside it: its address, the lab's key. */
export function inLineAppliance(scene: Pick<InLine, 'lab'>, more: ApplianceTable = {}): ApplianceTable {
  return { address: `${IN_LINE.box.ip4}/24`, ssh_keys: [BoxShell.publicKey(scene.lab)], ...more }
}

/**
 * A coordinator as a program in room `lan`, and the files that make the box a bridge of its network. Bridges need one to be enrolled; the wire
 * does not.
 */
export class LanNetwork {
  readonly programs: Programs

  private constructor(scene: InLine) {
    this.programs = new Programs(scene.lab)
  }

  static async start(scene: InLine): Promise<LanNetwork> {
    const network = await LanNetwork.prepare(scene, IN_LINE.lan.ip4)
    await network.programs.coordinator('lan', { 'dns.listen': [], 'dns.resolvers': ['192.0.2.53'] })
    return network
  }

  /** Makes the network alone; its coordinator will be at `ip4`. */
  static async prepare(scene: InLine, ip4: string): Promise<LanNetwork> {
    const network = new LanNetwork(scene)
    await network.programs.initNetwork('lan', { zone: 'ntm.example', endpoints: [`${ip4}:4330`] })
    return network
  }

  /** The network that `start` started in this line already. */
  static join(scene: InLine): LanNetwork {
    return new LanNetwork(scene)
  }

  /** One token's text, for a box of that role. */
  async token(name: string, role: 'bridge' | 'tt' | 'relay'): Promise<string> {
    const args = ['token', 'create', '--dir', this.programs.networkDir, '--name', name, '--role', role]
    return this.programs.ntm('lan', args)
  }

  /** What makes a box the coordinator: the network's directory beside its configuration. */
  coordinatorFiles(appliance: ApplianceTable): Files {
    const files = filesBelow(this.programs.networkDir, 'network')
    return boxFiles({ role: 'coordinator', settings: { 'dns.resolvers': ['192.0.2.53'] }, appliance, files })
  }

  async bridgeFiles(
    scene: InLine,
    { appliance = {}, ports, name = 'bridge1' }: { appliance?: ApplianceTable; ports?: Ports; name?: string } = {},
  ): Promise<Files> {
    return boxFiles({
      role: 'bridge',
      appliance: inLineAppliance(scene, appliance),
      token: await this.token(name, 'bridge'),
      ...(ports === undefined ? {} : { ports }),
    })
  }
}

/** A line with a box in it for one test; gone after it, its console kept when it failed. */
export async function lineForTest(options: InLineOptions = {}): Promise<InLine> {
  const scene = await boxInLine(options)
  onTestFinished(({ task }) => endLine(scene, task.result?.state === 'fail'))
  return scene
}

/** A line with a box in it for all tests of a `describe`, in their order. */
export function lineForAll(options: () => InLineOptions = () => ({})): { readonly scene: InLine } {
  const held: { scene: InLine | null; failed: boolean } = { scene: null, failed: false }
  beforeAll(async () => {
    held.scene = await boxInLine(options())
  })
  afterEach(({ task }) => {
    held.failed ||= task.result?.state === 'fail'
  })
  afterAll(() => {
    if (held.scene !== null) endLine(held.scene, held.failed)
  })
  return {
    get scene() {
      if (held.scene === null) throw new Error('the line is built before the first test')
      return held.scene
    },
  }
}

function endLine(scene: InLine, failed: boolean): void {
  if (failed) {
    tell(scene.vm.console.tail().replaceAll('\n', '\n    '))
    tell(`the lab's logs: ${scene.lab.keepLogs('failed-image-test')}`)
  }
  scene.dispose()
}

/** A line of measurement for people, in the test's output. */
export function tell(text: string): void {
  process.stdout.write(`    ${text}\n`)
}

/** Seconds in a console line's first group. */
export const secondsIn = (pattern: RegExp, line: ConsoleLine): number => Number(pattern.exec(line.text)?.[1])

/** Waits for the wire and tells how long it took; the goal is 10 s after the start of the kernel, on a machine with nothing else to do. */
export async function wireUp(vm: Vm, since = 0): Promise<void> {
  const line = await vm.until(SAYS.wire, { since })
  const seconds = secondsIn(SAYS.wire, line)
  tell(
    `bridge forwards frames ${seconds} s after the kernel started, ${(line.atMs / 1000).toFixed(1)} s after power came`,
  )
  expect(seconds).toBeGreaterThan(0)
}

/** Echo requests from the host to the LAN through the box: how many of `count` were answered. */
export async function pingThrough({ lab }: Pick<InLine, 'lab'>, count = 10): Promise<number> {
  const args = ['-n', '-c', `${count}`, '-i', '0.2', '-W', '2', IN_LINE.lan.ip4]
  const { stdout } = await lab.run('host', 'ping', args)
  return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0)
}
