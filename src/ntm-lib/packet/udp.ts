/** UDP header (RFC 768), 8 bytes. */
export const UDP_BYTES = 8
export const sourcePort = (v: DataView, at: number): number => v.getUint16(at)
export const destinationPort = (v: DataView, at: number): number => v.getUint16(at + 2)
/** Header and payload, in bytes, as the sender claims. */
export const length = (v: DataView, at: number): number => v.getUint16(at + 4)
export const check = (v: DataView, at: number): number => v.getUint16(at + 6)
/** Where the checksum stands, from the start of the header. */
export const CHECK_AT = 6
