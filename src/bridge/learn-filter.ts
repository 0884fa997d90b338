import type { LinkAddr } from '#ntm-lib/addr/link.ts'

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
/** `BPF_LD | BPF_W | BPF_LEN`: the frame's length. */
const LD_LEN = 0x80
/** `SKF_AD_OFF + SKF_AD_RANDOM` of `linux/filter.h`: loads a random word. */
const RANDOM = 0xfffff038

/** Classic BPF: code, jt, jf, k per instruction. */
export type Filter = readonly (readonly [code: number, jt: number, jf: number, k: number])[]

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
 * On the hosts' side also whatever comes from a machine that is not `known`: an old one whose address is set by hand may never say anything of
 * the above. Of known ones one frame of 256 by chance, in case they are elsewhere now. Super-packets are nobody's first words.
 */
export const hostLearnFilter = (known: readonly LinkAddr[]): Filter => [
  [LD_LEN, 0, 0, 0],
  // Over all of the known ones and over the chance, to the rest.
  [JGT, known.length + 6, 0, MOST_PLAIN],
  // The last four bytes of the source: two stations of one site that differ in the first two only are not to be expected.
  [LD_ABS, 0, 0, 8],
  ...known.map((link, i): Filter[number] => [JEQ, known.length - i, 0, link % 2 ** 32]),
  [RET, 0, 0, 0x40000],
  [LD_ABS, 0, 0, RANDOM],
  [AND, 0, 0, 0xff],
  [JEQ, 0, 1, 0],
  [RET, 0, 0, 0x40000],
  ...LEARN_FILTER,
]

/** An untagged frame of 1500 bytes. */
const MOST_PLAIN = 1514
