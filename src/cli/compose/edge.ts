import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { IoFault } from '#io/fault.ts'
import { ipBatch } from '#io/links.ts'
import { applyNft } from '#io/nft.ts'
import { run } from '#io/run.ts'
import { edgeSetup } from '#tt/nat/edge.ts'
import type { NatPlan } from '#tt/nat/plan.ts'
import { removal, ruleset } from '#tt/nat/ruleset.ts'
import type { Undo } from './process.ts'

/** What the machine was before us and what of ours is on it: written before each change, for the start after a crash. */
type Trace = {
  readonly bootId: string
  readonly table: string
  /** Values from before the first write, in the order of the writes. */
  readonly sysctls: Readonly<Record<string, string>>
  readonly undoRoutes: readonly string[]
}

/**
 * A terminator's sysctls, routes and source NAT on this machine. `apply` may be called again with another plan. A crash
 * leaves them standing (the blackhole routes on purpose); the next start finds their trace in `state` and knows what
 * the machine was before.
 */
export class Edge {
  readonly #file: string
  readonly #undo: Undo
  #trace: Trace | null = null
  #begun = false

  constructor(state: string, undo: Undo) {
    this.#file = join(state, 'edge.json')
    this.#undo = undo
  }

  /** Makes the machine what the plan says. IoFault when refused. */
  async apply(plan: NatPlan): Promise<void> {
    if (!this.#begun) {
      this.#begun = true
      await this.#clearLeftovers()
      this.#undo.add(() => this.#restore())
    }
    const { sysctls, routes, undoRoutes } = edgeSetup(plan)
    const before = this.#trace?.undoRoutes ?? []
    const values = { ...this.#trace?.sysctls }
    // The inside device goes with us, and its settings with it.
    const kept = sysctls.filter(({ key }) => !key.includes(`/conf/${plan.inside}/`))
    for (const { key } of kept) values[key] ??= sysctl(key)
    this.#write({ bootId: bootId(), table: plan.table, sysctls: values, undoRoutes })
    for (const { key, value } of sysctls) setSysctl(key, value)
    await removeRoutes(before.filter((line) => !undoRoutes.includes(line)))
    await ipBatch(routes)
    await applyNft(ruleset(plan))
  }

  /** What a killed process left: its rules and routes go, but what it read before its first write stays known. */
  async #clearLeftovers(): Promise<void> {
    const left = this.#read()
    if (left === null) return
    await applyNft(removal(left))
    await removeRoutes(left.undoRoutes)
    this.#trace = { ...left, undoRoutes: [] }
  }

  async #restore(): Promise<void> {
    const trace = this.#trace
    if (trace === null) return
    const steps: (() => void | Promise<void>)[] = [
      () => applyNft(removal(trace)),
      () => removeRoutes(trace.undoRoutes),
      ...Object.entries(trace.sysctls)
        .reverse()
        .map(
          ([key, value]) =>
            () =>
              setSysctl(key, value),
        ),
      () => rmSync(this.#file, { force: true }),
    ]
    let first: unknown = null
    for (const step of steps) {
      try {
        await step()
      } catch (e) {
        // An interface that went away has no settings to restore; the others are restored all the same.
        first ??= e
      }
    }
    if (first !== null) throw first
  }

  #write(trace: Trace): void {
    this.#trace = trace
    mkdirSync(join(this.#file, '..'), { recursive: true, mode: 0o700 })
    writeFileSync(this.#file, JSON.stringify(trace), { mode: 0o600 })
  }

  #read(): Trace | null {
    try {
      const trace = JSON.parse(readFileSync(this.#file, 'utf8')) as Trace
      // After a reboot nothing of it is true any more.
      return trace.bootId === bootId() ? trace : null
    } catch {
      // Expected: no file after a clean stop; half a file after a power cut, which is a reboot too.
      return null
    }
  }
}

/** Lines for what is gone already fail and do no harm: the routes through a device go with it. */
async function removeRoutes(lines: readonly string[]): Promise<void> {
  if (lines.length > 0) await run('ip', ['-force', '-batch', '-'], { input: `${lines.join('\n')}\n` }).catch(() => {})
}

const path = (key: string): string => `/proc/sys/${key}`
const bootId = (): string => readFileSync(path('kernel/random/boot_id'), 'utf8').trim()

function sysctl(key: string): string {
  try {
    return readFileSync(path(key), 'utf8').trim()
  } catch (e) {
    // The interface is missing, or this kernel has no such family.
    throw new IoFault(`read sysctl ${key}`, e)
  }
}

function setSysctl(key: string, value: string): void {
  try {
    writeFileSync(path(key), value)
  } catch (e) {
    throw new IoFault(`set sysctl ${key}`, e)
  }
}
