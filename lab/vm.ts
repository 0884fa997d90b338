import { copyFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { LabError } from './ip.ts'
import type { Lab } from './netns.ts'
import { type Program, pause } from './process.ts'
import { Console, type ConsoleLine } from './vm/console.ts'
import type { Disk } from './vm/disk.ts'
import { nicBackend, nicDevice, qemuCommand, STICK, serialPorts, type VmFiles, type VmPlan } from './vm/plan.ts'
import { plugIn } from './vm/plug.ts'
import { Qmp } from './vm/qmp.ts'
import { ServedDisk, type Stretch } from './vm/served-disk.ts'

/**
 * A box of the product: the image in QEMU (no KVM), in a room of a lab. It ends with its lab, with the process that started it, and after the plan's
 * limit. Its ports are joined to the room's links; nothing of it is outside the room.
 */
export class Vm {
  readonly lab: Lab
  readonly disk: Disk
  readonly console: Console
  #plan: VmPlan
  #qemu: Program | null = null
  #qmp: Qmp | null = null
  #timer: NodeJS.Timeout | null = null
  #layered = false
  #served: ServedDisk | null = null
  readonly #plugged = new Set<string>()

  constructor(lab: Lab, disk: Disk, plan: VmPlan) {
    this.lab = lab
    this.disk = disk
    this.#plan = plan
    this.console = new Console(join(lab.dir, `${this.name}.console`))
    lab.onDispose(() => this.#release())
  }

  get name(): string {
    return this.#plan.name ?? this.#plan.room
  }

  /**
   * Turns the power on; `changes` to the plan stay (ports swapped, another stick). Resolves when the machine runs, long before it has booted.
   * `lossy`: what is not flushed is lost with the power. `mortal`: parts of the disk may begin to fail (`partitionDies`).
   */
  async start(
    changes: Partial<VmPlan> = {},
    options: { readonly lossy?: boolean; readonly mortal?: boolean } = {},
  ): Promise<void> {
    if (this.running) throw new LabError(`${this.name} runs already`)
    this.#plan = { ...this.#plan, ...changes }
    for (const { link } of this.#plan.nics ?? []) {
      if (!this.#plugged.has(link)) plugIn(this.lab, this.#plan.room, link)
      this.#plugged.add(link)
    }
    this.#layered = options.lossy === true
    if (options.mortal === true)
      this.#served = await ServedDisk.serve(this.disk.file, join(this.lab.dir, `${this.name}.disk`))
    const files = this.#files()
    const [command, args] = qemuCommand(this.#plan, files)
    // Ends with the process that started it, also when that one is killed.
    const tied = ['--pdeathsig', 'KILL', command, ...args]
    this.#qemu = this.lab.spawn(this.#plan.room, `${this.name}-qemu`, 'setpriv', tied)
    try {
      this.#qmp = await Promise.race([Qmp.connect(files.qmp, 20_000), this.#ended()])
      await this.console.attach(files.serials, 5000)
      await this.#qmp.ask('cont')
    } catch (fault) {
      this.#release()
      this.#qemu.kill('SIGKILL')
      throw fault
    }
    this.#timer = setTimeout(() => this.#qemu?.kill('SIGKILL'), this.#plan.limitMs ?? 20 * 60_000)
    this.#timer.unref()
  }

  get running(): boolean {
    return this.#qemu?.alive() === true
  }

  /** Where the console stands: `until` looks only at what comes after. */
  mark(): number {
    return this.console.lines.length
  }

  /**
   * First line of the console that matches, from line `since` on. Rejects with the console's last lines when the machine ends, when a line
   * says that it never will (`unless`), or after `limitMs`: long, because two of these share two cores with everything else.
   */
  async until(
    pattern: RegExp,
    options: { readonly since?: number; readonly limitMs?: number; readonly unless?: RegExp } = {},
  ): Promise<ConsoleLine> {
    const { since = 0, limitMs = 420_000, unless } = options
    const end = performance.now() + limitMs
    for (;;) {
      const gone = !this.running
      const found = this.console.find(pattern, since)
      if (found !== null) return found
      const bad = unless === undefined ? null : this.console.find(unless, since)
      if (bad !== null) throw this.#fault(`said "${bad.text}" before ${pattern}`)
      if (gone) throw this.#fault(`ended before ${pattern}`)
      if (performance.now() > end) throw this.#fault(`no ${pattern} in ${limitMs / 1000} s`)
      await pause(50)
    }
  }

  qmp(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    if (this.#qmp === null) throw new LabError(`${this.name} is off`)
    return this.#qmp.ask(command, args)
  }

  /** QMP's events since power came: `RESET`, `WATCHDOG`, … */
  get events(): readonly string[] {
    return this.#qmp?.events ?? []
  }

  /** The reset button. */
  reset(): Promise<unknown> {
    return this.qmp('system_reset')
  }

  /** The power is gone between one instruction and the next. */
  async powerCut(): Promise<void> {
    this.#qemu?.kill('SIGKILL')
    await this.#off()
  }

  /** Ends the machine as a person would who has waited until it does nothing: what it wrote is on its disk. */
  async stop(): Promise<void> {
    if (!this.running) return this.#off()
    await Promise.race([this.qmp('quit').catch(() => {}), this.#qemu?.exited])
    const timer = setTimeout(() => this.#qemu?.kill('SIGKILL'), 10_000)
    await this.#off()
    clearTimeout(timer)
  }

  /** Plugs in the port of `link`, which the plan has as absent or which was pulled. */
  async plugNic(link: string): Promise<void> {
    const nics = this.#plan.nics ?? []
    const index = nics.findIndex((nic) => nic.link === link)
    const nic = nics[index]
    if (nic === undefined) throw new LabError(`${this.name} has no port ${link}`)
    await this.qmp('netdev_add', nicBackend(nic))
    await this.qmp('device_add', nicDevice(nic, index))
  }

  /** Pulls the port of `link` out of the machine. Resolves when its driver has let go. */
  async pullNic(link: string): Promise<void> {
    const before = this.events.filter((e) => e === 'DEVICE_DELETED').length
    await this.qmp('device_del', { id: `nic-${link}` })
    const end = performance.now() + 60_000
    while (this.events.filter((e) => e === 'DEVICE_DELETED').length <= before) {
      if (performance.now() > end) throw this.#fault(`did not let go of ${link}`)
      await pause(50)
    }
    await this.qmp('netdev_del', { id: `net-${link}` })
  }

  /** Takes the cable out of a port, or puts it back. */
  cable(link: string, up: boolean): Promise<unknown> {
    return this.qmp('set_link', { name: `nic-${link}`, up })
  }

  /** Puts a stick into a USB port of the running machine. */
  async plugStick(image: string): Promise<void> {
    const file = { driver: 'file', filename: image }
    await this.qmp('blockdev-add', { 'node-name': STICK.drive, driver: 'raw', file })
    const device = { driver: 'usb-storage', id: STICK.device, drive: STICK.drive, removable: true }
    await this.qmp('device_add', this.#plan.machine === 'raspi3b' ? device : { ...device, bus: 'usb.0' })
  }

  /**
   * A partition of the running box's disk, or a part of it, cannot be read or written any more (`writes`: not written). The disk must be mortal;
   * what was said before is over.
   */
  partitionDies(name: string, what: 'all' | 'writes' = 'all', part: Partial<Stretch> = {}): void {
    if (this.#served === null) throw new LabError(`the disk of ${this.name} is not mortal`)
    const whole = this.disk.partition(name)
    const { offset = 0, bytes = whole.bytes - offset } = part
    this.#served.dies({ offset: whole.offset + offset, bytes }, what)
  }

  #files(): VmFiles {
    const plan = this.#plan
    const path = (end: string): string => join(this.lab.dir, `${this.name}.${end}`)
    const { disk } = this
    const machine = plan.machine ?? 'bios'
    return {
      disk: this.#served !== null ? `nbd:unix:${this.#served.socket}` : this.#layered ? disk.layer() : disk.file,
      format: this.#layered ? 'qcow2' : 'raw',
      qmp: path('qmp'),
      serials: Array.from({ length: serialPorts(machine) }, (_, i) => path(`tty${i}`)),
      ...(machine === 'uefi' ? { firmware: uefi(path('uefi-variables')) } : {}),
      ...(plan.loaded === undefined ? {} : { loaded: plan.loaded }),
    }
  }

  async #ended(): Promise<never> {
    const how = await this.#qemu?.exited
    throw new LabError(`${this.name}: QEMU ended (${how}):\n${this.#qemu?.text()}`)
  }

  async #off(): Promise<void> {
    await this.#qemu?.exited
    this.#release()
    if (this.#layered) this.disk.settle()
    this.#layered = false
  }

  /** Lets go of what this process holds of the machine. */
  #release(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#qmp?.close()
    this.#qmp = null
    this.#served?.close()
    this.#served = null
    this.console.detach()
  }

  #fault(what: string): LabError {
    return new LabError(`${this.name}: ${what}\n${this.console.tail()}`)
  }
}

/** OVMF from Debian's package `ovmf`, with variables of the box's own, which last. */
function uefi(variables: string): { readonly code: string; readonly variables: string } {
  const dir = '/usr/share/OVMF'
  const size = existsSync(join(dir, 'OVMF_CODE_4M.fd')) ? '_4M' : ''
  if (!existsSync(variables)) copyFileSync(join(dir, `OVMF_VARS${size}.fd`), variables)
  return { code: join(dir, `OVMF_CODE${size}.fd`), variables }
}
