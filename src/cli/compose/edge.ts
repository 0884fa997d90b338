import { readFileSync, writeFileSync } from 'node:fs'
import { IoFault } from '#io/fault.ts'
import { ipBatch } from '#io/links.ts'
import { applyNft } from '#io/nft.ts'
import { edgeSetup } from '#tt/nat/edge.ts'
import type { NatPlan } from '#tt/nat/plan.ts'
import { removal, ruleset } from '#tt/nat/ruleset.ts'
import type { Undo } from './process.ts'

/** Applies a terminator's sysctls, routes and source NAT, and adds the way back to `undo`. IoFault when refused. */
export async function setUpEdge(plan: NatPlan, undo: Undo): Promise<void> {
  const { sysctls, routes, undoRoutes } = edgeSetup(plan)
  for (const { key, value } of sysctls) {
    const before = sysctl(key)
    setSysctl(key, value)
    undo.add(() => setSysctl(key, before))
  }
  // Lines for what is gone already may fail: the routes through a device go with it.
  undo.add(() => ipBatch(undoRoutes).catch(() => {}))
  await ipBatch(routes)
  undo.add(() => applyNft(removal(plan)))
  await applyNft(ruleset(plan))
}

const path = (key: string): string => `/proc/sys/${key}`

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
