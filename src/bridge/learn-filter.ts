const LD_ABS = 0x20
const LDH_ABS = 0x28
const LDB_ABS = 0x30
const LDH_IND = 0x48
const LDX_HEADER = 0xb1
const AND = 0x54
const JEQ = 0x15
const JGT = 0x25
const JGE = 0x35
const JSET = 0x45
const RET = 0x06
/** `SKF_AD_OFF + SKF_AD_RANDOM` of `linux/filter.h`: loads a random word. */
const RANDOM = 0xfffff038

/** Classic BPF: code, jt, jf, k per instruction. */
type Filter = readonly (readonly [code: number, jt: number, jf: number, k: number])[]

/**
 * What the learning socket on the LAN's side receives: ARP, IPv4 UDP from ports 67 and 68 (DHCP), and ICMPv6 133–136 (neighbour discovery).
 * Learning sockets get copies; the frames go their way at once. VLAN tags are off the frame by the time a socket filter sees it, so the
 * offsets hold for tagged frames too.
 */
export const LEARN_FILTER: Filter = [
  [LDH_ABS, 0, 0, 12],
  [JEQ, 15, 0, 0x0806], // accept
  [JEQ, 9, 0, 0x86dd], // to IPv6
  [JEQ, 0, 14, 0x0800], // else reject
  [LDB_ABS, 0, 0, 23],
  [JEQ, 0, 12, 17], // UDP or reject
  [LDH_ABS, 0, 0, 20],
  [JSET, 10, 0, 0x1fff], // a later fragment has no ports
  [LDX_HEADER, 0, 0, 14],
  [LDH_IND, 0, 0, 14],
  [JEQ, 6, 0, 67], // from the server
  [JEQ, 5, 6, 68], // from the client
  [LDB_ABS, 0, 0, 20],
  [JEQ, 0, 4, 58], // ICMPv6 or reject
  [LDB_ABS, 0, 0, 54],
  [JGE, 0, 2, 133],
  [JGT, 1, 0, 136], // 133–136
  [RET, 0, 0, 0x40000],
  [RET, 0, 0, 0],
]

/**
 * On the hosts' side also every broadcast, and one of 256 other frames by chance: an old machine whose address is set by hand may never say
 * anything of the above, and is known by whatever it does say. Few enough to cost nothing at full load.
 */
export const HOST_LEARN_FILTER: Filter = [
  [LD_ABS, 0, 0, 0],
  [JEQ, 0, 2, 0xffffffff],
  [LDH_ABS, 0, 0, 4],
  [JEQ, 3, 0, 0xffff],
  [LD_ABS, 0, 0, RANDOM],
  [AND, 0, 0, 0xff],
  [JEQ, 0, 1, 0],
  [RET, 0, 0, 0x40000],
  ...LEARN_FILTER,
]
