/** ICMPv6 (RFC 4443): type, code, checksum over a pseudo-header too, 4 bytes whose meaning depends on the type. */
export const ICMP_BYTES = 8
export const UNREACHABLE = 1
export const PACKET_TOO_BIG = 2
export const TIME_EXCEEDED = 3
export const PARAMETER_PROBLEM = 4
export const ECHO_REQUEST = 128
export const ECHO_REPLY = 129

export const NO_ROUTE = 0
export const ADMIN_PROHIBITED = 1
export const ADDRESS_UNREACHABLE = 3
export const PORT_UNREACHABLE = 4

export const type = (v: DataView, at: number): number => v.getUint8(at)
export const code = (v: DataView, at: number): number => v.getUint8(at + 1)
export const CHECK_AT = 2
/** Echo identifier. */
export const echoId = (v: DataView, at: number): number => v.getUint16(at + 4)
/** MTU of Packet Too Big, 32 bits. */
export const mtu = (v: DataView, at: number): number => v.getUint32(at + 4)
/** Pointer of Parameter Problem, 32 bits. */
export const pointer = (v: DataView, at: number): number => v.getUint32(at + 4)
/** RFC 4884 §4.1: length of the original datagram field in 64-bit words; 0 when there are no extensions. */
export const originalWords = (v: DataView, at: number): number => v.getUint8(at + 4)

/** RFC 4443 §2.1: the high bit is clear in errors. */
export const isError = (t: number): boolean => t < 128
export const isEcho = (t: number): boolean => t === ECHO_REQUEST || t === ECHO_REPLY
