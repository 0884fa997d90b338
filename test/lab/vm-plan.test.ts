import { expect, test } from 'vitest'
import { nicBackend, nicDevice, qemuCommand, serialPorts, type VmFiles, type VmPlan } from '#lab/vm/plan.ts'

// What a box is made of, as the command line of QEMU: nothing runs here.

const files: VmFiles = { disk: '/d.img', format: 'raw', qmp: '/q', serials: ['/s0'] }
const nics = [
  { link: 'net0', linkAddr: '52:54:00:00:00:01' },
  { link: 'host0', linkAddr: '52:54:00:00:00:02', model: 'e1000e', absent: true },
] as const

const text = (plan: Omit<VmPlan, 'room'>, more: Partial<VmFiles> = {}): string => {
  const [command, args] = qemuCommand({ room: 'box', ...plan }, { ...files, ...more })
  return [command, ...args].join(' ')
}

test('no box asks for KVM, a display or a network of QEMU’s own, and each waits for its power', () => {
  for (const machine of ['bios', 'uefi', 'virt', 'raspi3b'] as const) {
    const line = text({ machine, nics: machine === 'raspi3b' ? [] : nics })
    expect(line).toContain('-accel tcg,thread=multi,tb-size=192 ')
    expect(line).not.toMatch(/kvm|user,|-nic (?!none)/)
    expect(line).toMatch(/ -S /)
  }
})

test('a kind of machine is its program, firmware and disk', () => {
  expect(text({ machine: 'bios' })).toMatch(/^qemu-system-x86_64 -M q35 -cpu qemu64,\+rdrand/)
  const firmware = { code: '/code.fd', variables: '/vars.fd' }
  expect(text({ machine: 'uefi' }, { firmware })).toContain('readonly=on,file=/code.fd')
  expect(text({ machine: 'virt' }, { loaded: { kernel: '/k', initrd: '/i', args: 'quiet' } })).toMatch(
    /^qemu-system-aarch64 -M virt .*-kernel \/k -initrd \/i -append quiet$/,
  )
  const pi = text({ machine: 'raspi3b' }, { serials: ['/s0', '/s1'] })
  expect(pi).toMatch(/-m 1G .*if=sd,format=raw,file=\/d\.img/)
  expect(pi).toContain('chardev:serial1')
  expect(serialPorts('raspi3b')).toBe(2)
})

test.each([
  ['virtio', 'virtio-blk-pci,drive=disk'],
  ['ahci', 'ide-hd,bus=ide.0,drive=disk'],
  ['nvme', 'nvme,serial=ntm0,drive=disk'],
  ['usb', 'usb-storage,bus=usb.0,drive=disk'],
] as const)('disk on %s', (bus, device) => {
  expect(text({ bus })).toContain(device)
})

test('ports stand on the bus in the order of the plan, each where it can be pulled; an absent one leaves its place', () => {
  const line = text({ nics })
  expect(line).toContain('virtio-net-pci,id=nic-net0,netdev=net-net0,mac=52:54:00:00:00:01,bus=port0')
  expect(line).toMatch(/id=port0,chassis=1,addr=0x10.*id=port1,chassis=2,addr=0x11/)
  expect(line).not.toContain('52:54:00:00:00:02')
  const late = { driver: 'e1000e', id: 'nic-host0', netdev: 'net-host0', mac: '52:54:00:00:00:02', bus: 'port1' }
  expect(nicDevice(nics[1], 1)).toEqual(late)
  expect(nicBackend(nics[1])).toMatchObject({ type: 'tap', id: 'net-host0', ifname: 't-host0', script: 'no' })
})

test('a stick and a watchdog are there when asked for', () => {
  expect(text({})).not.toMatch(/stick|i6300esb/)
  const line = text({ stick: '/s.img', watchdog: true })
  expect(line).toContain('-device usb-storage,id=stick,drive=stick-image,removable=on,bus=usb.0')
  expect(line).toContain('-device i6300esb -action watchdog=reset')
  expect(text({ watchdog: 'chipset' })).toContain('ICH9-LPC.noreboot=false -action watchdog=reset')
})
