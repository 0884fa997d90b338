import { nodeCrypto } from '#io/crypto-node.ts'
import { ascii, be32, concat } from '#ntm-lib/base/bytes.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'

/**
 * The real suite with reproducible chance: same seed, same order of calls, same keys. Two suites with different seeds
 * never agree on a byte in practice, so give each node of a story its own.
 */
export function seededCrypto(seed: string | number): CryptoSuite {
  const key = nodeCrypto.hash(ascii(`seeded-crypto ${seed}`))
  let block = 0
  const random = (count: number): Uint8Array => {
    const blocks = Array.from({ length: Math.ceil(count / 32) }, () => nodeCrypto.hmac(key, be32(block++)))
    return concat(...blocks).slice(0, count)
  }
  const x25519Pair = () => {
    const secret = random(32)
    return { secret, public: nodeCrypto.x25519Public(secret) }
  }
  return { ...nodeCrypto, random, x25519Pair }
}
