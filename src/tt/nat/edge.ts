import { isIp4 } from '#ntm-lib/addr/ip.ts'
import { prefixText } from '#ntm-lib/addr/prefix.ts'
import type { NatPlan } from './plan.ts'

/** What the machine needs beside the ruleset, as data; `io` applies it in this order and undoes it backwards. */
export type EdgeSetup = {
  /** In order. Undo: write back what was read before the first write. Keys use `/` between parts (interface names have dots). */
  readonly sysctls: readonly { readonly key: string; readonly value: string }[]
  /** Lines for `ip -batch`; each may be run again. The inside device is up before. */
  readonly routes: readonly string[]
  /** Lines for `ip -force -batch`: lines for what is gone already may fail. */
  readonly undoRoutes: readonly string[]
}

/** Sysctls and routes of a plan. Without an IPv6 node prefix nothing of IPv6 is touched. */
export function edgeSetup(plan: NatPlan): EdgeSetup {
  const { inside, uplinks } = plan
  const six = plan.nodes.some((p) => !isIp4(p.base))
  const four = plan.nodes.some((p) => isIp4(p.base))
  const sysctls = [
    // Our own connections take ports that no node's flow can be given.
    { key: 'net/ipv4/ip_local_port_range', value: `1024 ${plan.ports[0] - 1}` },
    // Per interface is enough in IPv4: other interfaces of the machine keep not forwarding.
    ...(four ? [inside, ...uplinks].map((i) => ({ key: `net/ipv4/conf/${i}/forwarding`, value: '1' })) : []),
    ...(four ? [{ key: `net/ipv4/conf/${inside}/send_redirects`, value: '0' }] : []),
    // accept_ra 2 first: a forwarding interface with 1 forgets its default route.
    ...(six ? uplinks.map((i) => ({ key: `net/ipv6/conf/${i}/accept_ra`, value: '2' })) : []),
    ...(six ? [{ key: 'net/ipv6/conf/all/forwarding', value: '1' }] : []),
  ]
  const mtu = plan.innerMtuBytes === null ? '' : ` mtu lock ${plan.innerMtuBytes}`
  const through = plan.nodes.map((p) => `${prefixText(p)} dev ${inside}`)
  // Worse than any other route: it counts only when the device is gone, and then replies must not go to the uplink.
  const holes = plan.nodes.map((p) => `blackhole ${prefixText(p)} metric ${WORST_METRIC}`)
  return {
    sysctls,
    routes: [...holes, ...through.map((r) => `${r}${mtu}`)].map((r) => `route replace ${r}`),
    undoRoutes: [...through, ...holes].map((r) => `route del ${r}`),
  }
}

const WORST_METRIC = 4294967295
