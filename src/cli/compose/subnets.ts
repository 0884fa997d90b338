import type { Subnet } from '#bridge/types.ts'
import { watchLinks } from '#io/link-events.ts'
import { currentAddresses, currentLinks } from '#io/link-tables.ts'
import { isIp4 } from '#ntm-lib/addr/ip.ts'
import type { Undo } from './process.ts'

/** Tells the IPv4 subnets of an interface at once, before it returns, and again whenever they have changed. */
export function followSubnets(
  undo: Undo,
  fail: (why: Error) => void,
  name: string,
  take: (subnets: readonly Subnet[]) => void,
): void {
  let told: string | null = null
  let timer: NodeJS.Timeout | null = null
  const look = (): void => {
    timer = null
    const subnets = subnetsOf(name)
    const text = JSON.stringify(subnets)
    if (text === told) return
    told = text
    take(subnets)
  }
  const watch = watchLinks(({ kind }) => {
    if (kind !== 'address-added' && kind !== 'address-removed' && kind !== 'lost') return
    timer ??= setTimeout(() => {
      try {
        look()
      } catch (e) {
        fail(e instanceof Error ? e : new Error(String(e)))
      }
    }, SETTLE_MS)
  })
  undo.add(() => {
    watch.close()
    if (timer !== null) clearTimeout(timer)
  })
  look()
}

function subnetsOf(name: string): Subnet[] {
  const link = currentLinks().find((l) => l.name === name)
  return currentAddresses().flatMap(({ ifindex, ip, bits, global }) =>
    ifindex === link?.ifindex && isIp4(ip) && global ? [{ own: ip, bits }] : [],
  )
}

const SETTLE_MS = 50
