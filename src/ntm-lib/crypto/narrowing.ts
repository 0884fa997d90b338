import type { Ip } from '../addr/ip.ts'
import { contains, covers, type Prefix } from '../addr/prefix.ts'
import {
  type Certificate,
  type CertificateKind,
  ROLE_BRIDGE,
  ROLE_NODE,
  ROLE_RELAY,
  ROLE_TT,
} from '../wire/certificate.ts'

/** How a certificate claims more than its signer may give. */
export type Widening = 'signer-kind' | 'roles' | 'name' | 'prefixes' | 'validity'

/**
 * Whether `child` stays inside what `parent` may give: null, or the first thing that does not. The root's own
 * statements are not asked here: the root may say anything.
 */
export function widening(parent: Certificate, child: Certificate): Widening | null {
  const may = MAY_SIGN[parent.kind]
  if (may === undefined || child.kind !== 'membership') return 'signer-kind'
  if ((child.roles & ~(parent.roles & may)) !== 0) return 'roles'
  if (!nameCovers(parent.name, child.name)) return 'name'
  if (!child.hosted.every((h) => nameCovers(parent.name, h.name))) return 'name'
  if (!child.prefixes.every((p) => parent.prefixes.some((q) => covers(q, p)))) return 'prefixes'
  if (!child.hosted.every((h) => within(parent.prefixes, h.vip4) && within(parent.prefixes, h.vip6))) return 'prefixes'
  return child.issued < parent.issued || child.expires > parent.expires ? 'validity' : null
}

/**
 * Whether the holder of `outer` may give out `inner`. A leading "." covers every name below, at a label's border
 * only: ".plant.example" covers "a.plant.example", not "xplant.example" and not "plant.example" itself. No name at all
 * is narrower than any name. Both are canonical: `isCanonicalName`.
 */
export function nameCovers(outer: string, inner: string): boolean {
  if (inner === '' || inner === outer) return true
  return outer.startsWith('.') && inner.endsWith(outer)
}

/**
 * The one spelling of a name in a certificate: lower-case labels of letters, digits, "-" and "_", no trailing dot,
 * perhaps a leading one (every name below); empty for no name. So that comparing bytes is comparing names.
 */
export const isCanonicalName = (name: string): boolean =>
  name === '' || (name.length <= 254 && /^\.?[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/.test(name))

/** A name as DNS or a person writes it, brought to that spelling. */
export const canonicalName = (name: string): string => name.toLowerCase().replace(/\.$/, '')

/** Roles a signer can hand on at most, whatever its own certificate says; absent kinds sign nothing. */
const MAY_SIGN: Readonly<Partial<Record<CertificateKind, number>>> = {
  // Online key: a stolen coordinator must not be able to make terminators, relays or coordinators.
  issuer: ROLE_NODE | ROLE_BRIDGE,
  grant: ROLE_NODE | ROLE_BRIDGE | ROLE_TT | ROLE_RELAY,
}

const within = (prefixes: readonly Prefix[], ip: Ip): boolean => prefixes.some((p) => contains(p, ip))
