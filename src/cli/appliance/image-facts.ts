import { readFileSync } from 'node:fs'
import { type WallTime, wallTime } from '#ntm-lib/base/time.ts'

/** What an image says of itself, `/usr/lib/ntm/image.json`. */
export type ImageFacts = {
  readonly product: string
  readonly board: string
  /** Of which bundles are for this box, as `ntm-x86_64`. */
  readonly compatible: string
  readonly version: string
  /** When it was built (of its commit), seconds since 1970 UTC. */
  readonly built: number
  /** The version of the configuration's layout on the data partition that its program works with. */
  readonly dataVersion: number
}

/** Null where the program does not run from an image of ours. */
export function imageFacts(file = IMAGE): ImageFacts | null {
  try {
    const { product, board, compatible, version, built, data_version } = JSON.parse(
      readFileSync(file, 'utf8'),
    ) as Record<string, unknown>
    const seconds = typeof built === 'number' && Number.isSafeInteger(built) && built > 0 ? built : 0
    const dataVersion = typeof data_version === 'number' && Number.isSafeInteger(data_version) ? data_version : 1
    return {
      product: words(product, 'ntm'),
      board: words(board, ''),
      compatible: words(compatible, ''),
      version: words(version, ''),
      built: seconds,
      dataVersion,
    }
  } catch {
    // No image, or a damaged one: nothing depends on it.
    return null
  }
}

/** A moment that has certainly passed: the image's build; the beginning of time where there is no image. */
export const builtAt = (): WallTime => wallTime((imageFacts()?.built ?? 0) * 1000)

const words = (value: unknown, otherwise: string): string => (typeof value === 'string' ? value : otherwise)
const IMAGE = '/usr/lib/ntm/image.json'
