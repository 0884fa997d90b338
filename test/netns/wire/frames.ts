/** A frame as its sender writes it, VLAN tags inline, padded as Ethernet wants it. */
export type NamedFrame = { readonly title: string; readonly frame: Buffer }

/** Senders of our frames on either side; nobody else in the lab uses them. */
export const HOST_SIDE = '0277000000aa'
export const NET_SIDE = '0277000000bb'

/**
 * One of everything that is none of the bridge's business, from `from` to `to` where it is not to a group. `mark` (below 2^16)
 * makes the frames of each call different from those of all others.
 */
export function strangers(from: string, to: string, mark: number): NamedFrame[] {
  const all = 'ffffffffffff'
  const tail = mark.toString(16).padStart(4, '0')
  const made: NamedFrame[] = []
  const add = (title: string, dst: string, type: string, ...payload: string[]): void => {
    const body = `${payload.join('').replaceAll(' ', '')}${(made.length + 0x100).toString(16).padStart(4, '0')}${tail}`
    made.push({ title, frame: Buffer.from(`${dst}${from}${type}${body}`.replaceAll(' ', '').padEnd(120, '0'), 'hex') })
  }
  const ARP = '0806 0001 0800 06 04'
  add('ARP request of somebody for somebody', all, ARP, '0001', from, 'c0a84d32', '000000000000', 'c0a84d33')
  add('ARP reply to somebody', to, ARP, '0002', from, 'c0a84d33', to, 'c0a84d32')
  add('gratuitous ARP', all, ARP, '0002', from, 'c0a84d34', all, 'c0a84d34')
  add('RARP', all, '8035 0001 0800 06 04 0003', from, '00000000', from, '00000000')
  add('DHCP discover', all, '0800', udp4('00000000', 'ffffffff', 68, 67, '0101060012345678'.padEnd(480, '0')))
  add('DHCP offer to a group', all, '0800', udp4('c0a84d01', 'ffffffff', 67, 68, '0201060012345678'.padEnd(480, '0')))
  add('mDNS over IPv4', '01005e0000fb', '0800', udp4('c0a84d32', 'e00000fb', 5353, 5353, QUERY))
  add('mDNS over IPv6', '3333000000fb', '86dd', udp6('fe80::77', 'ff02::fb', 5353, 5353, QUERY))
  add('LLMNR', '01005e0000fc', '0800', udp4('c0a84d32', 'e00000fc', 5355, 5355, QUERY))
  add('DNS to port 53 over TCP', to, '0800', tcp4('c0a84d32', '08080808', 45_000, 53))
  add('ordinary TCP', to, '0800', tcp4('c0a84d32', 'c0000252', 45_001, 443))
  add('ordinary UDP', to, '0800', udp4('c0a84d32', 'c0000252', 45_002, 4500, 'abcd'.repeat(20)))
  add('UDP to NTM’s own port', to, '0800', udp4('c0a84d32', 'c0000252', 4330, 4330, 'abcd'.repeat(20)))
  add(
    'fragment of a DNS query',
    to,
    '0800',
    ip4('c0a84d32', '08080808', 17, '2000', 'b3b0003500500000'.padEnd(96, '7')),
  )
  add('IGMP report', '01005e0000fb', '0800', ip4('c0a84d32', 'e00000fb', 2, '0000', '16000904e00000fb'))
  add('neighbour solicitation', '3333ff000077', '86dd', icmp6('fe80::76', 'ff02::1:ff00:77', '8700', 'fe80::77'))
  add('neighbour advertisement', to, '86dd', icmp6('fe80::77', 'fe80::76', '8800', 'fe80::77'))
  add(
    'router advertisement',
    '333300000001',
    '86dd',
    ip6('fe80::1', 'ff02::1', 58, '86000000 40000708 00000000 00000000'),
  )
  add('duplicate address detection', '3333ff000078', '86dd', icmp6('::', 'ff02::1:ff00:78', '8700', 'fe80::78'))
  add('IPv6 UDP', to, '86dd', udp6('2001:db8::5', '2001:db8::6', 45_003, 4500, 'abcd'.repeat(20)))
  add('VLAN 5, IPv4 TCP', to, '8100 0005 0800', tcp4('c0a84d32', 'c0000252', 45_004, 80))
  add('VLAN 5, ARP', all, `8100 0005 ${ARP}`, '0001', from, 'c0a84d32', '000000000000', 'c0a84d33')
  add('priority tag, IPv4 UDP', to, '8100 a000 0800', udp4('c0a84d32', 'c0000252', 45_005, 4500, 'abcd'.repeat(9)))
  add('priority tag, unknown EtherType', to, '8100 e000 88b5', 'cafe')
  add('service tag', to, '88a8 0064 0800', tcp4('c0a84d32', 'c0000252', 45_006, 80))
  add('QinQ with a DNS query', to, '88a8 0064 8100 0005 0800', udp4('c0a84d32', '08080808', 45_007, 53, QUERY))
  add('spanning tree BPDU', '0180c2000000', '0026', '424203 0000000000')
  add('Cisco discovery', '01000ccccccc', '0030', 'aaaa03 00000c 2000 02b4')
  add('LACP', '0180c2000002', '8809', '0101')
  add('EAPOL start', '0180c2000003', '888e', '01010000')
  add('EAPOL key, unicast', to, '888e', '02030000')
  add('MACsec', to, '88e5', '0c00')
  add('LLDP', '0180c200000e', '88cc', '0207', '04', from)
  add('PTP', '011b19000000', '88f7', '0002')
  add('PROFINET', '010ecf000000', '8892', 'fefe')
  add('EtherCAT', '010105010000', '88a4', '1010')
  add('GOOSE', '010ccd010000', '88b8', '0001')
  add('PPPoE discovery', all, '8863', '1109 0000 0004 0101 0000')
  add(
    'PPPoE session with a DNS query',
    to,
    '8864',
    '1100 0001 003a 0021',
    udp4('c0a84d32', '08080808', 45_008, 53, QUERY),
  )
  add('IPX over LLC', all, '0030', 'e0e003 ffff')
  add('wake-on-LAN', all, '0842', all, from.repeat(16))
  add('an unknown EtherType', to, 'abcd', '01020304')
  add('a full frame', to, '0800', udp4('c0a84d32', 'c0000252', 45_009, 4500, 'ab'.repeat(1468)))
  add('a jumbo frame', to, '0800', udp4('c0a84d32', 'c0000252', 45_010, 4500, 'cd'.repeat(8960)))
  add('a jumbo frame of another protocol', to, '88b5', 'ef'.repeat(8990))
  return made
}

/** What the host must never get through: packets to virtual addresses, plain, tagged, in fragments. */
export function towardsVirtual(from: string, to: string, servers6: string): Buffer[] {
  const inner: readonly [string, string][] = [
    ['0800', udp4('c0a84d32', 'c613c8c8', 45_020, 7777, MARK)],
    ['0800', tcp4('c0a84d32', 'c6130009', 45_021, 80)],
    ['0800', udp4('c0a84d32', 'c612c8c8', 45_022, 53, MARK)],
    ['0800', ip4('c0a84d32', 'c613c8c9', 17, '2000', MARK)],
    ['0800', ip4('c0a84d32', 'c613c8c9', 1, '0000', `0800${'0'.repeat(12)}`)],
    ['86dd', udp6('fd00:77::5', `${servers6}77`, 45_023, 7777, MARK)],
    ['86dd', ip6('fd00:77::5', `${servers6}78`, 58, `8000${'0'.repeat(12)}`)],
  ]
  return inner.flatMap(([type, packet]) =>
    ['', '81000005', '8100a000', '88a80009'].map((tag) =>
      Buffer.from(`${to}${from}${tag}${type}${packet}`.padEnd(120, '0'), 'hex'),
    ),
  )
}

/** What a neighbour must never get to a host: packets that claim to come from a virtual address. */
export function fromVirtual(from: string, to: string, host4: string, servers6: string): Buffer[] {
  const inner: readonly [string, string][] = [
    ['0800', udp4('c613c8c8', host4, 7777, 45_020, SPOOF)],
    ['0800', udp4('c6120001', host4, 53, 45_021, SPOOF)],
    ['86dd', udp6(`${servers6}77`, 'fd00:77::5', 7777, 45_023, SPOOF)],
  ]
  return inner.flatMap(([type, packet]) =>
    ['', '81000005', '8100a000'].map((tag) =>
      Buffer.from(`${to}${from}${tag}${type}${packet}`.padEnd(120, '0'), 'hex'),
    ),
  )
}

const MARK = 'b0b0cafeb0b0cafe'.repeat(4)
/** Payload by which a frame of `fromVirtual` is known, whoever passes it on. */
export const SPOOF = 'fa15e000fa15e000'.repeat(4)

const be16 = (n: number): string => n.toString(16).padStart(4, '0')
const bytesOf = (hex: string): number => hex.replaceAll(' ', '').length / 2

/** RFC 791 header without checksum of the payload's; its own is right, or the kernel's forwarding would not care. */
function ip4(from: string, to: string, protocol: number, fragment: string, payload: string): string {
  const head = `4500${be16(20 + bytesOf(payload))}1234${fragment}40${protocol.toString(16).padStart(2, '0')}`
  const words = `${head}${from}${to}`.match(/.{4}/g) ?? []
  let sum = words.reduce((s, word) => s + Number.parseInt(word, 16), 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return `${head}${be16(0xffff - sum)}${from}${to}${payload}`
}

/** No checksum: allowed over IPv4. */
const udp4 = (from: string, to: string, sport: number, dport: number, payload: string): string =>
  ip4(from, to, 17, '0000', `${be16(sport)}${be16(dport)}${be16(8 + bytesOf(payload))}0000${payload}`)

const tcp4 = (from: string, to: string, sport: number, dport: number): string =>
  ip4(from, to, 6, '4000', `${be16(sport)}${be16(dport)}0000000100000000500220000000${'0000'}`)

const ip6 = (from: string, to: string, next: number, payload: string): string =>
  `60000000${be16(bytesOf(payload))}${next.toString(16).padStart(2, '0')}ff${long(from)}${long(to)}${payload}`

/** A checksum that is not zero; nobody on the way looks at it. */
const udp6 = (from: string, to: string, sport: number, dport: number, payload: string): string =>
  ip6(from, to, 17, `${be16(sport)}${be16(dport)}${be16(8 + bytesOf(payload))}beef${payload}`)

const icmp6 = (from: string, to: string, kind: string, target: string): string =>
  ip6(from, to, 58, `${kind}beef00000000${long(target)}`)

/** `fd00::7` as 32 hex digits. */
function long(text: string): string {
  const [head = '', rest = ''] = text.split('::')
  const words = (part: string): string[] => part.split(':').flatMap((w) => (w === '' ? [] : [w.padStart(4, '0')]))
  const [a, b] = [words(head), words(rest)]
  return [...a, ...Array<string>(8 - a.length - b.length).fill('0000'), ...b].join('')
}

/** "example A?", id 4d2. */
const QUERY = '04d201000001000000000000076578616d706c650000010001'
