import { type LinkAddr, linkText } from '#ntm-lib/addr/link.ts'
import { hex } from '#ntm-lib/base/hex.ts'

/** What identifies a box to whoever is to let it into a network. Nothing of it is secret. */
export type BoxIdentity = {
  readonly name: string
  readonly version: string
  /** Of its ports. */
  readonly links: readonly LinkAddr[]
  /** 16 bytes; null before the box has made its key. */
  readonly node: Uint8Array | null
  /** X25519, 32 bytes. */
  readonly publicKey: Uint8Array | null
}

/**
 * The text of a box's QR code: `ntm:box?name=…&link=…,…&node=…&key=…&version=…`, an address as of RFC 3986. Link addresses and both keys are hex without
 * separators. What does not fit into `mostBytes` is left out from the end: the version, then the key, of which `node` is the hash.
 */
export function boxText(b: BoxIdentity, mostBytes: number): string {
  const compact = (bytes: Uint8Array): string => hex(bytes).replaceAll(' ', '')
  const parts = [
    `name=${encodeURIComponent(b.name)}`,
    `link=${b.links.map((link) => linkText(link).replaceAll(':', '')).join(',')}`,
    ...(b.node === null ? [] : [`node=${compact(b.node)}`]),
    ...(b.publicKey === null ? [] : [`key=${compact(b.publicKey)}`]),
    ...(b.version === '' ? [] : [`version=${encodeURIComponent(b.version)}`]),
  ]
  const text = (): string => `ntm:box?${parts.join('&')}`
  const optional = ['version=', 'key=']
  for (const start of optional) {
    if (text().length <= mostBytes) break
    const at = parts.findIndex((part) => part.startsWith(start))
    if (at >= 0) parts.splice(at, 1)
  }
  return text()
}
