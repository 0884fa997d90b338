/** What a box is made of. `bios`, `uefi`: a PC; `virt`: an arm64 machine with PCI; `raspi3b`: a Raspberry Pi 3B, without any network. */
export type Machine = 'bios' | 'uefi' | 'virt' | 'raspi3b'

/** How the disk is attached; a `raspi3b` has a card and nothing else. */
export type DiskBus = 'virtio' | 'ahci' | 'nvme' | 'usb'

export type NicModel = 'virtio-net-pci' | 'e1000e' | 'usb-net'

/**
 * One network port of a box, joined to interface `link` of the box's room. PCI ports stand on the bus in the order of the plan; `absent`
 * ones are not there until they are plugged in.
 */
export type NicPlan = {
  readonly link: string
  readonly linkAddr: string
  readonly model?: NicModel
  readonly absent?: boolean
}

export type VmPlan = {
  /** The room of the lab that the box stands in; what its ports are joined to is there already. */
  readonly room: string
  /** Name of its files in the run directory; the room's unless told. */
  readonly name?: string
  readonly machine?: Machine
  readonly bus?: DiskBus
  readonly nics?: readonly NicPlan[]
  /** A USB stick's image, plugged in before power comes. */
  readonly stick?: string | null
  /**
   * With the watchdog device i6300esb, whose reset is the machine's; `chipset`: with the one that a PC's chipset has (iTCO). It is in every `bios` or
   * `uefi` and looks as if it worked, but QEMU lets it bite only here.
   */
  readonly watchdog?: boolean | 'chipset'
  readonly memoryMib?: number
  /** What the hardware clock says when power comes, `2020-01-01T00:00:00`; the machine's own time unless told. */
  readonly clock?: string
  /** What the firmware of a `virt` or a `raspi3b` loads (`virtLoads`, `piLoads`). */
  readonly loaded?: Loaded
  /** Ended after this time, in milliseconds, so that a forgotten one does not live on; 20 minutes unless told. */
  readonly limitMs?: number
}

/** Files that a run of a box needs, all made before it starts. */
export type VmFiles = {
  readonly disk: string
  readonly format: 'raw' | 'qcow2'
  /** Sockets: QMP, and one per serial port. */
  readonly qmp: string
  readonly serials: readonly string[]
  /** UEFI variables of this box (`uefi` only), and the firmware. */
  readonly firmware?: { readonly code: string; readonly variables: string }
  readonly loaded?: Loaded
}

/** Kernel, initial RAM disk and arguments, or a boot loader and the device tree: files of this machine. */
export type Loaded = {
  readonly kernel: string
  readonly initrd?: string
  readonly dtb?: string
  readonly args?: string
}

/** Serial ports that a kind of machine has and the image may use as a console. */
export const serialPorts = (machine: Machine): number => (machine === 'raspi3b' ? 2 : 1)

/** Name of the tap that stands for the cable of port `link`, in the box's room. */
export const tapOf = (link: string): string => `t-${link}`.slice(0, 15)

/** The QEMU program and its arguments. It starts halted: `cont` through QMP is what turns the power on. */
export function qemuCommand(plan: VmPlan, files: VmFiles): readonly [command: string, args: readonly string[]] {
  const machine = plan.machine ?? 'bios'
  const arm = machine === 'virt' || machine === 'raspi3b'
  const common = [
    ...['-accel', TCG, '-display', 'none', '-monitor', 'none', '-nic', 'none', '-S'],
    ...['-rtc', `base=${plan.clock ?? 'utc'},clock=host`],
    ...['-qmp', `unix:${files.qmp},server=on,wait=off`],
    ...files.serials.flatMap((path, i) => [
      ...['-chardev', `socket,id=serial${i},path=${path},server=on,wait=off`],
      ...['-serial', `chardev:serial${i}`],
    ]),
    ...firmware(files),
    ...loaded(files),
  ]
  const own = machine === 'raspi3b' ? pi(plan, files) : pci(plan, files, machine)
  return [arm ? 'qemu-system-aarch64' : 'qemu-system-x86_64', [...own, ...common]]
}

/** `device_add` of a port as QMP takes it. PCI ports are behind a root port of their own, so that all of them can be pulled. */
export function nicDevice(nic: NicPlan, index: number): Readonly<Record<string, string>> {
  const model = nic.model ?? 'virtio-net-pci'
  const bus = model === 'usb-net' ? 'usb.0' : `port${index}`
  return { driver: model, id: `nic-${nic.link}`, netdev: `net-${nic.link}`, mac: nic.linkAddr, bus }
}

/** `netdev_add` of a port as QMP takes it. */
export const nicBackend = (nic: NicPlan) =>
  ({
    type: 'tap',
    id: `net-${nic.link}`,
    ifname: tapOf(nic.link),
    script: 'no',
    downscript: 'no',
  }) as const

export const STICK = { drive: 'stick-image', device: 'stick' } as const

function pci(plan: VmPlan, files: VmFiles, machine: 'bios' | 'uefi' | 'virt'): string[] {
  const nics = plan.nics ?? []
  const cpu = machine === 'virt' ? ['-M', 'virt', '-cpu', 'cortex-a72'] : ['-M', 'q35', '-cpu', PC_CPU]
  const ports = nics.flatMap((_, i) => [
    '-device',
    `pcie-root-port,id=port${i},chassis=${i + 1},addr=0x${(0x10 + i).toString(16)}`,
  ])
  const there = nics.flatMap((nic, i) =>
    nic.absent === true
      ? []
      : ['-netdev', commaList(nicBackend(nic), 'type'), '-device', commaList(nicDevice(nic, i), 'driver')],
  )
  return [
    ...[...cpu, '-smp', '2', '-m', `${plan.memoryMib ?? 512}`],
    ...['-device', 'qemu-xhci,id=usb,addr=0x8'],
    ...disk(plan.bus ?? 'virtio', files),
    ...ports,
    ...there,
    ...stick(plan),
    ...(plan.watchdog === true ? ['-device', 'i6300esb', '-action', 'watchdog=reset'] : []),
    ...(plan.watchdog === 'chipset' ? ['-global', 'ICH9-LPC.noreboot=false', '-action', 'watchdog=reset'] : []),
  ]
}

/**
 * QEMU keeps what it translated through a reset, 1 GiB unless told. The boot loader then writes the next kernel over pages full of it, byte by byte,
 * and each byte looks through all of the page: 100 to 165 s of a busy machine for a load that takes 20 s with this (and took at first).
 */
const TCG = 'tcg,thread=multi,tb-size=192'

/**
 * With a random number generator, as every PC of the last ten years has one (a `virt` is given a seed by QEMU). Without, the kernel collects
 * randomness for seconds, and then rewrites its own code while both processors run it: QEMU 7.2 sometimes goes on with the old code for ever.
 */
const PC_CPU = 'qemu64,+rdrand,+rdseed'

/** A card, 1 GiB, four cores: the board's own sizes. Its USB is a hub behind the board's controller. */
function pi(plan: VmPlan, files: VmFiles): string[] {
  return [
    ...['-M', 'raspi3b', '-smp', '4', '-m', '1G'],
    ...['-drive', `if=sd,format=${files.format},file=${files.disk}`],
    ...stick(plan),
  ]
}

function disk(bus: DiskBus, files: VmFiles): string[] {
  const device = {
    virtio: 'virtio-blk-pci',
    ahci: 'ide-hd,bus=ide.0',
    nvme: 'nvme,serial=ntm0',
    usb: 'usb-storage,bus=usb.0',
  }[bus]
  return [
    ...['-drive', `if=none,id=disk,format=${files.format},file=${files.disk}`],
    ...['-device', `${device},drive=disk,bootindex=1`],
  ]
}

function stick(plan: VmPlan): string[] {
  if (plan.stick === undefined || plan.stick === null) return []
  const bus = plan.machine === 'raspi3b' ? '' : ',bus=usb.0'
  return [
    ...['-drive', `if=none,id=${STICK.drive},format=raw,file=${plan.stick}`],
    ...['-device', `usb-storage,id=${STICK.device},drive=${STICK.drive},removable=on${bus}`],
  ]
}

function firmware({ firmware }: VmFiles): string[] {
  if (firmware === undefined) return []
  return [
    ...['-drive', `if=pflash,format=raw,readonly=on,file=${firmware.code}`],
    ...['-drive', `if=pflash,format=raw,file=${firmware.variables}`],
  ]
}

function loaded({ loaded }: VmFiles): string[] {
  if (loaded === undefined) return []
  const { kernel, initrd, dtb, args } = loaded
  return [
    ...['-kernel', kernel],
    ...(initrd === undefined ? [] : ['-initrd', initrd]),
    ...(dtb === undefined ? [] : ['-dtb', dtb]),
    ...(args === undefined ? [] : ['-append', args]),
  ]
}

/** `a,x=1,y=2`: how QEMU writes on its command line what QMP takes as an object; `first` is the key that is not named. */
function commaList(object: Readonly<Record<string, string>>, first: string): string {
  const rest = Object.entries(object).filter(([key]) => key !== first)
  return [object[first], ...rest.map(([key, value]) => `${key}=${value}`)].join(',')
}
