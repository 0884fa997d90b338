/** An image's version: `0.1.0+20261121T225100.g82f33fb1[.dirty]`, and what orders it. */
export type ImageVersion = {
  /** Major, minor, patch. */
  readonly release: readonly [number, number, number]
  /** Time of the commit in UTC, `YYYYMMDDTHHMMSS`; orders builds of one release. Empty for a bare release number. */
  readonly built: string
  readonly text: string
}

/** Null when the text is not a version of ours. */
export function parseVersion(text: string): ImageVersion | null {
  const found = /^(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:\+(\d{8}T\d{6})\.g[0-9a-f]{7,40}(?:\.dirty)?)?$/.exec(text)
  if (found === null) return null
  const [, major, minor, patch, built = ''] = found
  return { release: [Number(major), Number(minor), Number(patch)], built, text }
}

/** Negative when `a` is older than `b`, 0 when neither is: first the release, then the time it was built from. */
export function compareVersions(a: ImageVersion, b: ImageVersion): number {
  for (const [i, left] of a.release.entries()) {
    const difference = left - (b.release[i] ?? 0)
    if (difference !== 0) return difference
  }
  return a.built < b.built ? -1 : a.built > b.built ? 1 : 0
}
