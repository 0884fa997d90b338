import type { Brand } from '../base/brand.ts'
import { hex } from '../base/hex.ts'
import { invariant } from '../base/invariant.ts'

/** Hash of a node's static public key; 16 bytes. Self-certifying: `docs/wire.md`, Certificate. */
export type NodeId = Brand<Uint8Array, 'NodeId'>
/** First 16 bytes of the hash of the network's root key. */
export type Fingerprint = Brand<Uint8Array, 'Fingerprint'>
/** Names one end of one tunnel path; 48 bits, so an exact JavaScript number. Never 0. */
export type PathId = Brand<number, 'PathId'>
/** Names one end of a control session; 48 bits, never 0. */
export type SessionId = Brand<number, 'SessionId'>

export const nodeId = (b: Uint8Array): NodeId => sized(b, 16, 'NodeId') as NodeId
export const fingerprint = (b: Uint8Array): Fingerprint => sized(b, 16, 'Fingerprint') as Fingerprint
export const pathId = (n: number): PathId => id48(n, 'PathId') as PathId
export const sessionId = (n: number): SessionId => id48(n, 'SessionId') as SessionId
/** Map key of a node id. */
export const nodeKey = (id: NodeId): string => hex(id)

/** A fresh 48-bit id from 6 random bytes; 0 becomes 1 because 0 means "none". */
export function idFromRandom(bytes: Uint8Array): number {
  invariant(bytes.length >= 6, 'an id takes 6 random bytes')
  let n = 0
  for (let i = 0; i < 6; i++) n = n * 256 + (bytes[i] ?? 0)
  return n === 0 ? 1 : n
}

function sized(b: Uint8Array, length: number, name: string): Uint8Array {
  invariant(b.length === length, `${name} is ${length} bytes, got ${b.length}`)
  return b
}

function id48(n: number, name: string): number {
  invariant(Number.isInteger(n) && n >= 0 && n < 2 ** 48, `${name} is 48 bits, got ${n}`)
  return n
}
