import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { LabError } from '../ip.ts'
import { inNewLab, type Lab, ROOT } from '../netns.ts'
import { lanServices } from '../services.ts'
import { Disk, type DiskOptions } from '../vm/disk.ts'
import { piLoads, virtLoads } from '../vm/loads.ts'
import type { NicModel, NicPlan, VmPlan } from '../vm/plan.ts'
import { BoxShell } from '../vm/ssh.ts'
import { Vm } from '../vm.ts'

/*
 *  host 192.168.77.9 eth0 ── host0 [ box: the image in QEMU ] net0 ── lan0 192.168.77.1 lan: DHCP, DNS forwarder
 *  knows nothing of the box                  192.168.77.50, or by DHCP
 */

export const IN_LINE = {
  host: { link: 'eth0', ip4: '192.168.77.9' },
  box: { hostPort: 'host0', netPort: 'net0', ip4: '192.168.77.50' },
  lan: { link: 'lan0', ip4: '192.168.77.1' },
  /** The first port on the bus is net0, the second host0. */
  linkAddr: { net: '52:54:00:00:00:01', host: '52:54:00:00:00:02' },
} as const

export type Board = 'x86_64' | 'rpi-arm64'

export type InLineOptions = Partial<Omit<VmPlan, 'room' | 'nics'>> & {
  readonly board?: Board
  /** Another image than the board's newest one. */
  readonly image?: string
  readonly model?: NicModel
  /** Ports in the order of the bus; both unless told. */
  readonly nics?: readonly NicPlan[]
  readonly disk?: DiskOptions
}

export type InLine = { readonly lab: Lab; readonly vm: Vm; readonly shell: BoxShell; dispose(): void }

/** The line, with a box in it that is switched off. */
export function boxInLine(options: InLineOptions = {}): Promise<InLine> {
  return inNewLab(async (lab) => {
    const { host, box, lan } = IN_LINE
    for (const room of ['host', 'box', 'lan']) lab.room(room)
    lab.cable(['host', host.link], ['box', box.hostPort])
    lab.cable(['box', box.netPort], ['lan', lan.link])
    lab.ip('host', `addr add ${host.ip4}/24 dev ${host.link}`, `route add default via ${lan.ip4}`)
    lab.ip('lan', `addr add ${lan.ip4}/24 dev ${lan.link}`)
    await lanServices(lab, 'lan', {
      link: lan.link,
      address: lan.ip4,
      from: '192.168.77.100',
      to: '192.168.77.199',
      upstream: '192.0.2.53',
    })
    const vm = boxVm(lab, { room: 'box', nics: bothPorts(options.model), ...options })
    return { lab, vm, shell: new BoxShell(lab, 'lan', box.ip4), dispose: () => lab.dispose() }
  })
}

/** A box with a disk of its own in a room, switched off. */
export function boxVm(lab: Lab, options: InLineOptions & { readonly room: string }): Vm {
  const { board = 'x86_64', image = builtImage(board), disk: wanted, model: _, ...plan } = options
  const machine = plan.machine ?? (board === 'x86_64' ? 'bios' : 'virt')
  const file = join(lab.dir, `${plan.name ?? plan.room}.img`)
  const disk = new Disk(image, file, { ...wanted, powerOfTwo: machine === 'raspi3b' })
  const loaded = machine === 'virt' ? virtLoads(disk) : machine === 'raspi3b' ? piLoads(disk) : undefined
  return new Vm(lab, disk, { ...plan, machine, ...(loaded === undefined ? {} : { loaded }) })
}

export const bothPorts = (model: NicModel = 'virtio-net-pci'): readonly NicPlan[] => [
  { link: IN_LINE.box.netPort, linkAddr: IN_LINE.linkAddr.net, model },
  { link: IN_LINE.box.hostPort, linkAddr: IN_LINE.linkAddr.host, model },
]

/** The newest image of a board, as `make image` leaves it; below NTM_IMAGES instead of `dist` when that is set. */
export function builtImage(board: Board): string {
  const file = imageFile(board)
  if (!existsSync(file)) throw new LabError(`no image: make image BOARD=${board}`)
  return file
}

export const imageFile = (board: Board): string =>
  join(process.env['NTM_IMAGES'] ?? join(ROOT, 'dist'), board, 'ntm.img')
