/** ICMPv4 (RFC 792): type, code, checksum, 4 bytes whose meaning depends on the type. */
export const ICMP_BYTES = 8
export const ECHO_REPLY = 0
export const UNREACHABLE = 3
export const SOURCE_QUENCH = 4
export const REDIRECT = 5
export const ECHO_REQUEST = 8
export const TIME_EXCEEDED = 11
export const PARAMETER_PROBLEM = 12

export const HOST_UNREACHABLE = 1
export const PROTOCOL_UNREACHABLE = 2
export const PORT_UNREACHABLE = 3
export const FRAGMENTATION_NEEDED = 4
export const SOURCE_ROUTE_FAILED = 5
export const ADMIN_PROHIBITED = 13

export const type = (v: DataView, at: number): number => v.getUint8(at)
export const code = (v: DataView, at: number): number => v.getUint8(at + 1)
export const CHECK_AT = 2
/** Echo identifier. */
export const echoId = (v: DataView, at: number): number => v.getUint16(at + 4)
/** Next-hop MTU of "fragmentation needed"; 0 from routers older than RFC 1191. */
export const mtu = (v: DataView, at: number): number => v.getUint16(at + 6)
/** RFC 4884 §4.1: length of the original datagram field in 32-bit words; 0 when there are no extensions. */
export const originalWords = (v: DataView, at: number): number => v.getUint8(at + 5)

export const isError = (t: number): boolean =>
  t === UNREACHABLE || t === SOURCE_QUENCH || t === REDIRECT || t === TIME_EXCEEDED || t === PARAMETER_PROBLEM
export const isEcho = (t: number): boolean => t === ECHO_REQUEST || t === ECHO_REPLY
