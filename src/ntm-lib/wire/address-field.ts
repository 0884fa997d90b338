import type { Endpoint } from '../addr/endpoint.ts'
import type { Fingerprint, NodeId, PathId } from '../addr/ids.ts'
import { type Ip, ipBytes, isIp4 } from '../addr/ip.ts'
import { type Ip4, ip4FromBytes, ip4FromWord } from '../addr/ip4.ts'
import type { Ip6 } from '../addr/ip6.ts'
import { type Prefix, prefixText } from '../addr/prefix.ts'
import { invariant } from '../base/invariant.ts'
import { type Field, fixed, u16, u48, where } from './field.ts'
import type { Reader } from './reader.ts'

export const ip4: Field<Ip4> = {
  type: 'IPv4',
  size: '4',
  read: (r) => ip4FromWord(r.u32()),
  write: (w, v) => w.u32(v),
}
export const ip6: Field<Ip6> = { ...fixed<Ip6>(16), type: 'IPv6' }

/** Family byte 4 or 6, then 4 or 16 bytes. */
export const ip: Field<Ip> = {
  type: 'ip',
  size: '1 + (4 or 16)',
  read: (r) => readIp(r, r.u8()),
  write: (w, v) => {
    w.u8(isIp4(v) ? 4 : 6)
    w.bytes(ipBytes(v))
  },
}

/** An address and a UDP port other than 0. */
export const endpoint: Field<Endpoint> = {
  type: 'endpoint',
  size: '1 + (4 or 16) + 2',
  read: (r) => {
    const address = ip.read(r)
    return { ip: address, port: port.read(r) }
  },
  write: (w, v) => {
    ip.write(w, v.ip)
    port.write(w, v.port)
  },
}

/** An endpoint of constant size: an IPv4 address is the first 4 of the 16 address bytes, the others are zero. */
export const endpoint19: Field<Endpoint> = {
  type: 'endpoint of constant size: family u8, address 16 (IPv4 first, then zero), port u16',
  size: '19',
  read: (r) => {
    const family = r.u8()
    const address = readIp(r, family)
    if (family === 4) r.zeros(12)
    return { ip: address, port: port.read(r) }
  },
  write: (w, v) => {
    ip.write(w, v.ip)
    if (isIp4(v.ip)) w.zeros(12)
    port.write(w, v.port)
  },
}

/** Family, address, length. Host bits must be zero, so that one prefix has one encoding. */
export const prefix: Field<Prefix> = {
  type: 'prefix',
  size: '1 + (4 or 16) + 1',
  read: (r) => {
    const base = ip.read(r)
    const bits = r.u8()
    if (r.fault === null && !isPrefix(base, bits)) r.refuse('bad-value')
    return { base, bits }
  },
  write: (w, v) => {
    invariant(isPrefix(v.base, v.bits), `${prefixText(v)} is not a prefix`)
    ip.write(w, v.base)
    w.u8(v.bits)
  },
}

export const nodeIdField: Field<NodeId> = { ...fixed<NodeId>(16), type: 'Node ID' }
export const fingerprintField: Field<Fingerprint> = { ...fixed<Fingerprint>(16), type: 'fingerprint' }
export const pathIdField: Field<PathId> = where(u48 as Field<PathId>, 'not 0', (v) => v !== 0)

const port = where(u16, 'not 0', (v) => v !== 0)

function readIp(r: Reader, family: number): Ip {
  if (family === 4) return ip4FromBytes(r.bytes(4))
  if (family !== 6) r.refuse('bad-value')
  return ip6.read(r)
}

function isPrefix(base: Ip, bits: number): boolean {
  return bits <= (isIp4(base) ? 32 : 128) && ipBytes(base).every((byte, i) => (byte & hostMask(bits - 8 * i)) === 0)
}

const hostMask = (bits: number): number => 0xff >> Math.min(8, Math.max(0, bits))
