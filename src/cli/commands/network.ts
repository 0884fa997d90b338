import { makeNetwork } from '#coordinator/network.ts'
import { systemCalendar } from '#io/clock.ts'
import { nodeCrypto } from '#io/crypto-node.ts'
import { parseEndpoint } from '#ntm-lib/addr/endpoint.ts'
import { prefixText } from '#ntm-lib/addr/prefix.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import { isCanonicalName } from '#ntm-lib/crypto/narrowing.ts'
import { options } from '../args.ts'
import { networkExists, saveNetwork } from '../compose/network-dir.ts'
import { virtualRanges } from '../compose/virtual-ranges.ts'
import { UsageError } from '../usage-error.ts'

/** `ntm network init`: makes a network's root, issuer and coordinator keys in a directory. Never overwrites one. */
export async function network(args: readonly string[]): Promise<number> {
  const [verb, ...rest] = args
  if (verb !== 'init') throw new UsageError('the only action is "init"')
  const o = options(rest, ['dir', 'name', 'zone', 'endpoint'], ['nodes4', 'servers4', 'ula'])
  const zone = o.zone.toLowerCase().replace(/\.$/, '')
  if (!isCanonicalName(zone) || zone.startsWith('.') || !zone.includes('.')) {
    throw new UsageError(`--zone ${o.zone}: not a DNS zone. For example --zone ntm.example`)
  }
  const endpoints = o.endpoint.split(',').map((text) => {
    const e = parseEndpoint(text.trim())
    if (e === null)
      throw new UsageError(
        `--endpoint ${text}: expected ADDRESS:PORT, for example 192.0.2.1:4330 or [2001:db8::1]:4330`,
      )
    return e
  })
  if (networkExists(o.dir)) throw new UsageError(`--dir ${o.dir}: holds a network already; it is not overwritten`)
  const made = makeNetwork({
    name: `coordinator.${zone}`,
    zone,
    ...virtualRanges(
      o,
      endpoints.map((e) => e.ip),
    ),
    suite: nodeCrypto,
    calendar: systemCalendar,
  })
  saveNetwork(o.dir, { name: o.name, zone, endpoints }, made)
  const { plan } = made
  process.stdout.write(
    `network ${o.name}: zone ${zone}, fingerprint ${hex(made.root.fingerprint)}\n` +
      `  nodes    ${prefixText(plan.nodes4)}  ${prefixText(plan.nodes6)}\n` +
      `  servers  ${prefixText(plan.servers4)}  ${prefixText(plan.servers6)}\n` +
      `  ${o.dir}/root.json signs terminators: keep it safe, and off this machine once the tokens are made\n`,
  )
  return 0
}
