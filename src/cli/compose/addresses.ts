import { watchLinks } from '#io/link-events.ts'
import { type InterfaceAddress, listAddresses } from '#io/links.ts'
import type { Candidate } from '#ntm-lib/wire/messages/common.ts'
import { candidatesOf, type NtmNode } from './ntm-node.ts'
import type { Undo } from './process.ts'

/** Runs `look` a moment after this machine's addresses changed; changes come in showers. */
export function followAddresses(undo: Undo, fail: (why: Error) => void, look: () => Promise<void>): void {
  let timer: NodeJS.Timeout | undefined
  let running = Promise.resolve()
  const watch = watchLinks((event) => {
    if (event.kind !== 'address-added' && event.kind !== 'address-removed' && event.kind !== 'lost') return
    clearTimeout(timer)
    timer = setTimeout(() => {
      running = running.then(look).catch((e: unknown) => fail(e instanceof Error ? e : new Error(String(e))))
    }, SETTLE_MS)
  })
  undo.add(async () => {
    watch.close()
    clearTimeout(timer)
    await running
  })
}

/**
 * Takes this machine's addresses as the node's candidates. Whether they changed: then the coordinator must be told
 * (`node.changed`). Interfaces in `without` are no places to be reached at.
 */
export async function locate(made: NtmNode, port: number, without: readonly string[]): Promise<boolean> {
  const addresses: readonly InterfaceAddress[] = await listAddresses()
  const candidates: readonly Candidate[] = candidatesOf(addresses, port, { interfaces: without, prefixes: [] })
  if (JSON.stringify(candidates.map(plain)) === JSON.stringify(made.where.candidates.map(plain))) return false
  made.where.candidates = candidates
  made.where.version++
  return true
}

const plain = ({ endpoint }: Candidate): string => `${endpoint.ip}:${endpoint.port}`

/** An address change comes as several events within a few milliseconds. */
const SETTLE_MS = 200
