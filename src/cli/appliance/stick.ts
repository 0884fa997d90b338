import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { compareVersions, parseVersion } from '#appliance/version.ts'
import { readFacts } from './fact-files.ts'
import { inspectBundle } from './rauc.ts'
import { installUpdate, type UpdateSettings } from './update.ts'

export type StickResult = {
  /** A bundle was installed: the box has to start anew. */
  readonly installed: boolean
  /** For the report beside the bundles: one line each. */
  readonly lines: readonly string[]
}

/**
 * Looks at every `*.raucb` of a directory and installs the newest that is for this box and newer than what runs. A version that was tried and did not hold is not tried
 * again by itself, an older one never: for those there is `ntm update`.
 */
export async function updateFromStick(dir: string, o: Omit<UpdateSettings, 'allowDowngrade'>): Promise<StickResult> {
  const names = readdirSync(dir)
    .filter((name) => name.endsWith('.raucb') && !name.startsWith('.'))
    .sort()
  const lines: string[] = []
  const fitting: { readonly name: string; readonly version: string }[] = []
  const last = readFacts(join(o.places.data, 'update/last'))
  for (const name of names) {
    const inspected = await inspectBundle(join(dir, name), o.rauc)
    if (!inspected.ok) {
      lines.push(`${name}: not installed: ${inspected.why}.`)
      continue
    }
    const { compatible, version } = inspected.bundle
    if (compatible !== o.running.compatible)
      lines.push(`${name}: not for this box (${o.running.compatible}): it is for ${compatible}.`)
    else if (version === o.running.version) lines.push(`${name}: version ${version} runs already.`)
    else if (last['result'] === 'rolled-back' && last['version'] === version)
      lines.push(
        `${name}: version ${version} was tried and did not hold: ${last['why'] ?? ''}. It is not tried again; \`ntm update\` does.`,
      )
    else if (!newer(version, o.running.version))
      lines.push(`${name}: version ${version} is not newer than ${o.running.version}, which runs.`)
    else fitting.push({ name, version })
  }
  fitting.sort((a, b) => (newer(a.version, b.version) ? -1 : 1))
  const [best, ...others] = fitting
  for (const { name, version } of others) lines.push(`${name}: version ${version} is passed over for a newer one.`)
  if (best === undefined) return { installed: false, lines }
  const done = await installUpdate(join(dir, best.name), { ...o, allowDowngrade: false }).catch((e: unknown) => {
    if (!(e instanceof Error && e.name === 'IoFault')) throw e
    return { ok: false as const, what: 'failed', why: e.message }
  })
  lines.unshift(
    done.ok
      ? `${best.name}: version ${done.version} is installed (${o.running.version} ran before). The box starts it now; if it does not do its work, the old version comes back.`
      : `${best.name}: not installed: ${done.why}.`,
  )
  return { installed: done.ok, lines }
}

function newer(a: string, b: string): boolean {
  const [left, right] = [parseVersion(a), parseVersion(b)]
  return left !== null && right !== null && compareVersions(left, right) > 0
}
