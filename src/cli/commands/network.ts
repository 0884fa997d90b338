import { extendNetwork, makeNetwork } from '#coordinator/network.ts'
import { systemCalendar } from '#io/clock.ts'
import { nodeCrypto } from '#io/crypto-node.ts'
import { SqliteStore } from '#io/store-sqlite.ts'
import { type Endpoint, endpointText, parseEndpoint } from '#ntm-lib/addr/endpoint.ts'
import { isIp4 } from '#ntm-lib/addr/ip.ts'
import { covers, overlaps, type Prefix, parsePrefix, prefixText } from '#ntm-lib/addr/prefix.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import { isCanonicalName } from '#ntm-lib/crypto/narrowing.ts'
import { options } from '../args.ts'
import { databaseFile, loadNetwork, loadRoot, networkExists, saveNetwork, saveSlice } from '../compose/network-dir.ts'
import { virtualRanges } from '../compose/virtual-ranges.ts'
import { UsageError } from '../usage-error.ts'

/** `ntm network init | extend | show`: makes a network's keys, or those of another zone of it, in a directory. Never overwrites one. */
export async function network(args: readonly string[]): Promise<number> {
  const [verb, ...rest] = args
  if (verb === 'init') return init(rest)
  if (verb === 'extend') return extend(rest)
  if (verb === 'show') return show(rest)
  throw new UsageError('the actions are "init", "extend" and "show"')
}

/** Root, issuer and coordinator of a new network. */
function init(args: readonly string[]): number {
  const o = options(args, ['dir', 'name', 'zone', 'endpoint'], ['nodes4', 'servers4', 'ula'])
  const zone = zoneOf(o.zone)
  const endpoints = endpointsOf(o.endpoint)
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

/** Issuer and coordinator of another zone under the same root, with a part of the nodes' addresses of its own. SEED 002 §3. */
function extend(args: readonly string[]): number {
  const o = options(args, ['dir', 'to', 'zone', 'endpoint', 'nodes4'], [])
  const zone = zoneOf(o.zone)
  const endpoints = endpointsOf(o.endpoint)
  const first = loadNetwork(o.dir)
  const root = loadRoot(o.dir)
  if (root === null) throw new UsageError(`--dir ${o.dir}: holds no root.json; bring the root key back for this step`)
  if (networkExists(o.to)) throw new UsageError(`--to ${o.to}: holds a network already; it is not overwritten`)
  if (below(zone, first.zone) || below(first.zone, zone)) {
    throw new UsageError(`--zone ${zone}: overlaps the zone ${first.zone}, which has a coordinator already`)
  }
  const before = first.slice ?? { own: first.plan.nodes4, given: [] }
  const slice4 = parsePrefix(o.nodes4)
  const taken = slice4 === null ? undefined : before.given.find((p) => overlaps(p, slice4))
  if (slice4 === null || !covers(before.own, slice4) || slice4.bits === before.own.bits || taken !== undefined) {
    const why =
      taken === undefined ? `expected a part of ${prefixText(before.own)}` : `${prefixText(taken)} is given away`
    throw new UsageError(`--nodes4 ${o.nodes4}: ${why}`)
  }
  if (hasGiven(o.dir, slice4)) {
    throw new UsageError(
      `--nodes4 ${o.nodes4}: nodes of ${first.zone} have addresses in it already; take a higher part`,
    )
  }
  const { plan } = first
  const name = `coordinator.${zone}`
  const made = extendNetwork({ name, zone, root, plan, slice4, suite: nodeCrypto, calendar: systemCalendar })
  saveNetwork(o.to, { name: first.name, zone, endpoints }, made, { own: slice4, given: [] })
  saveSlice(o.dir, { own: before.own, given: [...before.given, slice4] })
  process.stdout.write(
    `network ${first.name}: zone ${zone}, fingerprint ${hex(root.fingerprint)}\n` +
      `  nodes    ${prefixText(slice4)}\n` +
      `  start the coordinator of ${first.zone} again: it keeps off this range from then on\n`,
  )
  return 0
}

/** What the operators of other zones write into their coordinators' `[[federation]]`. */
function show(args: readonly string[]): number {
  const { dir } = options(args, ['dir'], [])
  const { zone, endpoints, coordinator } = loadNetwork(dir)
  const at = endpoints.map((e) => JSON.stringify(endpointText(e))).join(', ')
  const lines = ['[[federation]]', `zone = ${JSON.stringify(zone)}`, `endpoints = [${at}]`]
  process.stdout.write(`${lines.join('\n')}\nkey = "${hex(coordinator.static.public)}"\n`)
  return 0
}

/** Whether the coordinator has given an address in or above `slice4` to somebody. */
function hasGiven(dir: string, slice4: Prefix): boolean {
  const store = new SqliteStore(databaseFile(dir))
  try {
    const highest = store.highestNodeVip4()
    return highest !== null && isIp4(slice4.base) && highest >= slice4.base
  } finally {
    store.close()
  }
}

function zoneOf(text: string): string {
  const zone = text.toLowerCase().replace(/\.$/, '')
  if (!isCanonicalName(zone) || zone.startsWith('.') || !zone.includes('.')) {
    throw new UsageError(`--zone ${text}: not a DNS zone. For example --zone ntm.example`)
  }
  return zone
}

function endpointsOf(list: string): Endpoint[] {
  return list.split(',').map((text) => {
    const e = parseEndpoint(text.trim())
    if (e === null)
      throw new UsageError(
        `--endpoint ${text}: expected ADDRESS:PORT, for example 192.0.2.1:4330 or [2001:db8::1]:4330`,
      )
    return e
  })
}

const below = (zone: string, other: string): boolean => zone === other || zone.endsWith(`.${other}`)
