import { same } from '#ntm-lib/base/bytes.ts'
import { isCoordinator, verifyChain } from '#ntm-lib/crypto/certificate.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import type { Calendar } from '#ntm-lib/ports/machine.ts'

/**
 * The zone of the coordinator with this static key: its certificate's name without the first label, by the root's word
 * alone. Null when the chain proves nothing of the kind.
 */
export function zoneOfCoordinator(
  p: { readonly suite: CryptoSuite; readonly rootKey: Uint8Array; readonly calendar: Calendar },
  chain: readonly Uint8Array[],
  staticKey: Uint8Array,
): string | null {
  const now = p.calendar.today()
  const verdict = verifyChain({
    ...{ suite: p.suite, chain, rootPublicKey: p.rootKey },
    ...{ now, floor: now, revoked: () => false },
  })
  // Only the root makes coordinators: nobody stands between.
  if (!verdict.ok || verdict.value.certificates.length !== 1 || !isCoordinator(verdict.value)) return null
  const { name, subject } = verdict.value.leaf
  const dot = name.indexOf('.')
  return same(subject, staticKey) && dot > 0 ? name.slice(dot + 1) : null
}
