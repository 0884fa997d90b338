import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The parts of V8's .cpuprofile that are read here: nodes of the call tree, the sampled node and the µs since the last sample. */
type Profile = {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

/**
 * The functions with the most time of their own in the profile of a directory's newest thread, which is the packet worker; idle time is
 * left out, and all but the last `seconds`, so that a program's start does not count.
 */
export function topSelf(dir: string, seconds: number, count = 25): string {
  const newest = readdirSync(dir).sort().at(-1) ?? ''
  const profile = JSON.parse(readFileSync(join(dir, newest), 'utf8')) as Profile
  const from = profile.timeDeltas.reduce((sum, delta) => sum + delta, 0) - seconds * 1e6
  const frames = new Map(profile.nodes.map((node) => [node.id, node.callFrame]))
  const self = new Map<string, number>()
  let busy = 0
  let at = 0
  for (const [i, id] of profile.samples.entries()) {
    const frame = frames.get(id)
    at += profile.timeDeltas[i] ?? 0
    if (at < from || frame === undefined || frame.functionName === '(idle)') continue
    const spent = profile.timeDeltas[i] ?? 0
    const file = frame.url.split('/').slice(-2).join('/')
    const key = `${frame.functionName || '(anonymous)'}${file === '' ? '' : `  ${file}:${frame.lineNumber + 1}`}`
    self.set(key, (self.get(key) ?? 0) + spent)
    busy += spent
  }
  return [...self]
    .sort(([, a], [, b]) => b - a)
    .slice(0, count)
    .map(([key, spent]) => `${((100 * spent) / busy).toFixed(1).padStart(6)} %  ${key}`)
    .join('\n')
}
