import { watchLinks } from '#io/link-events.ts'
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

/** An address change comes as several events within a few milliseconds. */
const SETTLE_MS = 200
