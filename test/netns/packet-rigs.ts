import { execFileSync } from 'node:child_process'
import { openPacketSocket, openTap, openTun } from '#io/packet-native.ts'
import { openPortable } from '#io/port-portable.ts'
import type { Rig } from '#test/contract/packet-port.ts'

/** Ports of one kind on the real kernel, joined inside the network namespace this process runs in. */
export type Scene = {
  /** Once, in a fresh namespace. */
  prepare(): void
  /** Fresh ports; those of the last rig are closed. */
  open(): Rig
}

export const ip = (...args: readonly string[]): string => execFileSync('ip', args, { stdio: 'pipe' }).toString()

export const SCENES: Readonly<Record<string, Scene>> = {
  /** tun0 (10.81.1.0/24) ── kernel routes ── tun1 (10.81.2.0/24) */
  tun: {
    prepare: () => quiet(),
    open: () => {
      const [a, b] = [openTun('tun0'), openTun('tun1')]
      for (const [i, name] of ['tun0', 'tun1'].entries()) {
        ip('address', 'add', `10.81.${i + 1}.1/24`, 'dev', name)
        ip('link', 'set', name, 'up')
      }
      sysctl('net.ipv4.ip_forward', '1')
      return { a, b, frame: ip4Frame, same: sameButForHops(1), refused: new Uint8Array(60) }
    },
  },
  /** tap0 ── br0 ── tap1 */
  tap: {
    prepare: () => {
      quiet()
      ip('link', 'add', 'br0', 'type', 'bridge', 'stp_state', '0', 'mcast_snooping', '0')
      ip('link', 'set', 'br0', 'up')
    },
    open: () => {
      const [a, b] = [openTap('tap0'), openTap('tap1')]
      for (const name of ['tap0', 'tap1']) ip('link', 'set', name, 'master', 'br0', 'up')
      return { a, b, frame: etherFrame, same, refused: new Uint8Array(10) }
    },
  },
  /** va ── vb, a packet socket on each */
  packet: {
    prepare: () => {
      quiet()
      ip('link', 'add', 'va', 'type', 'veth', 'peer', 'name', 'vb')
      for (const name of ['va', 'vb']) ip('link', 'set', name, 'up')
      for (const name of ['va', 'vb']) awaitCarrier(name)
    },
    open: () => {
      const [a, b] = [openPacketSocket('va'), openPacketSocket('vb')]
      return { a, b, frame: etherFrame, same, refused: etherFrame(0, 1800) }
    },
  },
  /** As `packet`, without virtio headers on the socket. */
  'packet-plain': {
    prepare: () => SCENES['packet']?.prepare(),
    open: () => {
      const [a, b] = [openPacketSocket('va', { vnet: false }), openPacketSocket('vb', { vnet: false })]
      return { a, b, frame: etherFrame, same, refused: etherFrame(0, 1800) }
    },
  },
  /** raw socket ── kernel routes ── pb (10.81.2.0/24), captured as it leaves */
  raw4: {
    prepare: () => {
      routedVeths()
      ip('address', 'add', '10.81.1.1/24', 'dev', 'pa')
      ip('route', 'add', '10.81.2.0/24', 'dev', 'pb')
    },
    open: () => {
      const [a, b] = [openPortable('pa', FILTER4), openPortable('pb', FILTER4)]
      return { a, b, frame: ip4Frame, same: sameButForHops(0), refused: ip4Frame(0, 1600) }
    },
  },
  raw6: {
    prepare: () => {
      routedVeths()
      ip('-6', 'route', 'add', 'fd81:2::/64', 'dev', 'pb')
    },
    open: () => {
      const [a, b] = [openPortable('pa', FILTER6), openPortable('pb', FILTER6)]
      return { a, b, frame: ip6Frame, same, refused: ip6Frame(0, 1600) }
    },
  },
}

/** An Ethernet frame of the "local experimental" type (IEEE 802 §9.2.4), from port a's side to port b's. */
export function etherFrame(n: number, bytes: number): Uint8Array {
  const f = pattern(n, bytes)
  f.set([0x02, 0, 0, 0, 0, 0x0b, 0x02, 0, 0, 0, 0, 0x0a, 0x88, 0xb5])
  return f
}

/** UDP 10.81.1.2 → 10.81.2.2, without a UDP checksum. */
export function ip4Frame(n: number, bytes: number): Uint8Array {
  const f = pattern(n, bytes)
  f.set([0x45, 0, bytes >> 8, bytes & 255, 0x12, n & 255, 0x40, 0, 64, 17, 0, 0, 10, 81, 1, 2, 10, 81, 2, 2])
  f.set([0x30, 0x39, 0x10, 0xea, (bytes - 20) >> 8, (bytes - 20) & 255, 0, 0], 20)
  return withHeaderSum(f)
}

/** UDP fd81:1::2 → fd81:2::2; the checksum is not looked at on the way. */
function ip6Frame(n: number, bytes: number): Uint8Array {
  const f = pattern(n, bytes)
  f.fill(0, 0, 40)
  f.set([0x60, 0, 0, 0, (bytes - 40) >> 8, (bytes - 40) & 255, 17, 64, 0xfd, 0x81, 0, 1])
  f[23] = 2
  f.set([0xfd, 0x81, 0, 2], 24)
  f[39] = 2
  f.set([0x30, 0x39, 0x10, 0xea, (bytes - 40) >> 8, (bytes - 40) & 255], 40)
  return f
}

const pattern = (n: number, bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, i) => n + i * 13)
const same = (sent: Uint8Array, got: Uint8Array): boolean => Buffer.compare(sent, got) === 0

function sameButForHops(hops: number): (sent: Uint8Array, got: Uint8Array) => boolean {
  return (sent, got) => {
    const want = sent.slice()
    want[8] = (want[8] ?? 0) - hops
    return same(withHeaderSum(want), got)
  }
}

function withHeaderSum(f: Uint8Array): Uint8Array {
  f[10] = f[11] = 0
  const sum = internetSum(f.subarray(0, 20))
  f[10] = sum >> 8
  f[11] = sum & 255
  return f
}

/** RFC 1071 over whole bytes, complemented; written again here so that the C one is judged by another. */
export function internetSum(bytes: Uint8Array): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

/** No frame but ours: the kernel's own IPv6 chatter is off. */
function quiet(): void {
  sysctl('net.ipv6.conf.all.disable_ipv6', '1')
  sysctl('net.ipv6.conf.default.disable_ipv6', '1')
}

/** pa–pa1 and pb–pb1: Ethernet without address resolution, as the TT's capture interface. */
function routedVeths(): void {
  ip('link', 'set', 'lo', 'up')
  for (const name of ['pa', 'pb']) {
    ip('link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}1`)
    ip('link', 'set', name, 'arp', 'off', 'up')
    ip('link', 'set', `${name}1`, 'up')
  }
}

/** A link that is up takes a moment until it sends; on a busy machine the first frames would be lost. */
function awaitCarrier(name: string): void {
  for (let i = 0; i < 500 && !ip('link', 'show', name).includes('state UP'); i++) Atomics.wait(NEVER, 0, 0, 10)
}

const NEVER = new Int32Array(new SharedArrayBuffer(4))

export function sysctl(name: string, value: string): void {
  execFileSync('sysctl', ['-qw', `${name}=${value}`])
}

const FILTER4 = { filter: 'udp and dst net 10.81.0.0/16' }
const FILTER6 = { filter: 'ip6 and dst net fd81::/16' }
