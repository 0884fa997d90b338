import type { Fields } from '../field.ts'
import { chain } from './common.ts'

/**
 * Node → coordinator, kind 0x0D (Cert Renew): make or renew my membership. In an enrolment session this is the first
 * sealed request; it consumes the token. `chain` is empty when the coordinator's issuer is to sign, or a membership
 * already signed by the token's grant followed by that grant.
 */
export type CertRenew = {
  readonly kind: 'cert-renew'
  readonly chain: readonly Uint8Array[]
}
/** The membership chain to use from now on, leaf first, without the root. */
export type CertRenewResponse = {
  readonly kind: 'cert-renew-response'
  readonly chain: readonly Uint8Array[]
}

export const certRenew = { chain } satisfies Fields<CertRenew>

export const certRenewResponse = { chain } satisfies Fields<CertRenewResponse>
