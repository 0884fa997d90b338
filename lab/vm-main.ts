import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { whyNoLab } from './netns.ts'
import { pause } from './process.ts'
import { type Board, bothPorts, boxInLine, type InLineOptions } from './scenes/box-in-line.ts'
import { printed } from './vm/console.ts'
import { filesBelow, makeStick } from './vm/fat.ts'
import type { DiskBus, Machine, NicModel } from './vm/plan.ts'

/** Boots an image between two rooms and prints what it says, to look at and to try things. */
const usage = `usage: scripts/run-node lab/vm-main.ts [options]     (as root)

  --image FILE      the image; dist/<board>/ntm.img unless told. A copy of it is booted
  --board BOARD     x86_64 (default) or rpi-arm64
  --machine KIND    bios, uefi, virt, raspi3b; what fits the board unless told (--uefi for short)
  --bus BUS         virtio, ahci, nvme, usb
  --nic MODEL       virtio-net-pci, e1000e, usb-net
  --stick DIR       a stick labelled NTMCONFIG with the files of DIR
  --boot DIR        puts the files of DIR onto the boot partition first
  --watchdog        with the watchdog device i6300esb
  --mib N           a disk of this size
  --until REGEX     ends with exit code 0 when the console says this, 1 when it never does
  --for SECONDS     ends after this time; 300 unless told
  --stay MORE       keeps it running for MORE seconds after --until

The line: host 192.168.77.9 ── host0 [ box ] net0 ── lan 192.168.77.1 with DHCP. Rooms can be entered while it runs.
`

process.exitCode = await main()

async function main(): Promise<number> {
  let asked: ReturnType<typeof read>
  try {
    asked = read()
  } catch (fault) {
    // parseArgs throws for every mistake in the command line, with a message meant for people.
    process.stderr.write(`${fault instanceof Error ? fault.message : String(fault)}\n${usage}`)
    return 2
  }
  const why = whyNoLab()
  if (why !== null || asked.help) {
    process.stderr.write(asked.help ? usage : `vm: ${why}\n`)
    return asked.help ? 0 : 1
  }
  const limitMs = Number(asked.for) * 1000
  const scene = await boxInLine(optionsOf(asked, limitMs))
  try {
    const { lab, vm } = scene
    for (const room of lab.rooms)
      process.stdout.write(`  ${room.padEnd(6)} sudo ip netns exec ${lab.netns(room)} bash\n`)
    if (asked.boot !== undefined) vm.disk.fat('boot').write(filesBelow(asked.boot))
    if (asked.stick !== undefined) makeStick(join(lab.dir, 'stick.img'), filesBelow(asked.stick), { mib: 64 })
    vm.console.onLine((line) => process.stdout.write(`${printed(line)}\n`))
    await vm.start(asked.stick === undefined ? {} : { stick: join(lab.dir, 'stick.img') })
    if (asked.until === undefined) {
      for (const end = performance.now() + limitMs; vm.running && performance.now() < end; ) await pause(200)
      return 0
    }
    const line = await vm.until(new RegExp(asked.until), { limitMs })
    process.stdout.write(`-- after ${(line.atMs / 1000).toFixed(1)} s\n`)
    await pause(Number(asked.stay) * 1000)
    return 0
  } catch (fault) {
    process.stderr.write(`vm: ${fault instanceof Error ? fault.message : String(fault)}\n`)
    return 1
  } finally {
    scene.dispose()
  }
}

function read() {
  return parseArgs({
    options: {
      image: { type: 'string' },
      board: { type: 'string', default: 'x86_64' },
      machine: { type: 'string' },
      uefi: { type: 'boolean', default: false },
      bus: { type: 'string' },
      nic: { type: 'string', default: 'virtio-net-pci' },
      stick: { type: 'string' },
      boot: { type: 'string' },
      watchdog: { type: 'boolean', default: false },
      mib: { type: 'string' },
      until: { type: 'string' },
      stay: { type: 'string', default: '0' },
      for: { type: 'string', default: '300' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  }).values
}

function optionsOf(asked: ReturnType<typeof read>, limitMs: number): InLineOptions {
  const machine = asked.machine ?? (asked.uefi ? 'uefi' : undefined)
  return {
    board: asked.board as Board,
    nics: bothPorts(asked.nic as NicModel),
    watchdog: asked.watchdog,
    limitMs: limitMs + 600_000,
    ...(asked.image === undefined ? {} : { image: asked.image }),
    ...(machine === undefined ? {} : { machine: machine as Machine }),
    ...(asked.bus === undefined ? {} : { bus: asked.bus as DiskBus }),
    ...(asked.mib === undefined ? {} : { disk: { mib: Number(asked.mib) } }),
  }
}
