import { compareVersions, parseVersion } from './version.ts'

/** What a bundle says of itself, and what was found of its signature. */
export type Bundle = {
  /** The kind of box it is made for, as `ntm-x86_64`. */
  readonly compatible: string
  readonly version: string
}

/** What runs here. */
export type RunningImage = { readonly compatible: string; readonly version: string }

export type BundleVerdict =
  | { readonly ok: true; readonly step: 'newer' | 'same' | 'older' | 'unordered' }
  /** `what` is for programs: a report's first word; `why` says what to do as well. */
  | { readonly ok: false; readonly what: 'wrong-board' | 'older' | 'unordered'; readonly why: string }

/** What `rauc info --output-format=json` printed; null when it is not that. */
export function parseBundle(text: string): Bundle | null {
  let said: unknown
  try {
    said = JSON.parse(text)
  } catch {
    // Not JSON: another RAUC than ours.
    return null
  }
  if (typeof said !== 'object' || said === null) return null
  const { compatible, version } = said as Readonly<Record<string, unknown>>
  return typeof compatible === 'string' && typeof version === 'string' ? { compatible, version } : null
}

/**
 * Whether this bundle may be installed here. The same version may: that is how a slot is repaired. An older one only when
 * `allowDowngrade`: it may have the faults that the running one no longer has, and it may not read newer data.
 */
export function judgeBundle(bundle: Bundle, running: RunningImage, allowDowngrade: boolean): BundleVerdict {
  if (bundle.compatible !== running.compatible) {
    const why = `it is made for ${bundle.compatible}, and this box is ${running.compatible}. Take the bundle of that name`
    return { ok: false, what: 'wrong-board', why }
  }
  const [theirs, ours] = [parseVersion(bundle.version), parseVersion(running.version)]
  if (theirs === null || ours === null) {
    if (allowDowngrade) return { ok: true, step: 'unordered' }
    const why = `it cannot be told whether version ${bundle.version} is newer than ${running.version}, which runs. ${OVERRIDE}`
    return { ok: false, what: 'unordered', why }
  }
  const order = compareVersions(theirs, ours)
  if (order >= 0) return { ok: true, step: order === 0 ? 'same' : 'newer' }
  if (allowDowngrade) return { ok: true, step: 'older' }
  const why = `version ${bundle.version} is older than ${running.version}, which runs: faults that were mended would come back. ${OVERRIDE}`
  return { ok: false, what: 'older', why }
}

/** RAUC's words for a bundle it does not trust, for people. */
export function refusalText(said: string): string {
  const reason = /signature verification failed: (.*)/i.exec(said)?.[1] ?? ''
  if (/self.signed|unable to get|issuer|verification failed|Verify error|no signer/i.test(said))
    return `its signature is not by the key this box trusts${reason === '' ? '' : ` (${reason.trim()})`}. Take a bundle from whoever built this box's image`
  if (/no such file/i.test(said)) return 'there is no such file'
  if (/bundle|squashfs|signature|size|format/i.test(said)) return `it is no bundle, or it is damaged: ${lastLine(said)}`
  return lastLine(said)
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1)?.trim() ?? ''
const OVERRIDE = 'To install it all the same: --allow-downgrade'
