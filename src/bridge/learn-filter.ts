const LDH_ABS = 0x28
const LDB_ABS = 0x30
const LDH_IND = 0x48
const LDX_HEADER = 0xb1
const JEQ = 0x15
const JGT = 0x25
const JGE = 0x35
const JSET = 0x45
const RET = 0x06

/**
 * What the two learning sockets receive, as classic BPF (code, jt, jf, k per instruction): ARP, IPv4 UDP from ports 67 and
 * 68 (DHCP), and ICMPv6 133–136 (neighbour discovery). They get copies; the frames go their way at once. VLAN tags are off
 * the frame by the time a socket filter sees it, so the offsets hold for tagged frames too.
 */
export const LEARN_FILTER: readonly (readonly [code: number, jt: number, jf: number, k: number])[] = [
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
