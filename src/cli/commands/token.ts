import { makeToken } from '#coordinator/network.ts'
import { systemCalendar } from '#io/clock.ts'
import { nodeCrypto } from '#io/crypto-node.ts'
import { SqliteStore } from '#io/store-sqlite.ts'
import { same } from '#ntm-lib/base/bytes.ts'
import type { Root } from '#ntm-lib/crypto/identity.ts'
import { isCanonicalName } from '#ntm-lib/crypto/narrowing.ts'
import { ROLE_BRIDGE, ROLE_NODE, ROLE_RELAY, ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import { options } from '../args.ts'
import { databaseFile, loadNetwork, loadRoot } from '../compose/network-dir.ts'
import { UsageError } from '../usage-error.ts'

/** `ntm token create`: makes a one-time enrolment token and prints it, and nothing else, on standard output. */
export async function token(args: readonly string[]): Promise<number> {
  const [verb, ...rest] = args
  if (verb !== 'create') throw new UsageError('the only action is "create"')
  const o = options(rest, ['dir', 'name', 'role'], ['hours', 'root'])
  const roles = ROLES[o.role]
  if (roles === undefined) throw new UsageError(`--role ${o.role}: expected ${Object.keys(ROLES).join(' or ')}`)
  const hours = Number(o.hours ?? '24')
  if (!(hours > 0 && hours <= 24 * 366)) throw new UsageError(`--hours ${o.hours}: expected a number from 1 to 8784`)
  const kept = loadNetwork(o.dir)
  const name = qualified(o.name, kept.zone)
  if (!isCanonicalName(name)) throw new UsageError(`--name ${o.name}: not a host name. For example --name bridge1`)
  const made = makeToken({
    name,
    roles,
    rootPublicKey: kept.rootPublicKey,
    root: rootOf(o.root ?? o.dir, kept.rootPublicKey),
    plan: kept.plan,
    coordinatorStatic: kept.coordinator.static.public,
    endpoints: kept.endpoints,
    validSeconds: hours * 3600,
    suite: nodeCrypto,
    calendar: systemCalendar,
  })
  if (made === null)
    throw new UsageError(
      `--role ${o.role} needs ${o.root ?? o.dir}/root.json: bring the root key back for this step, or name its directory with --root`,
    )
  const store = new SqliteStore(databaseFile(o.dir))
  try {
    store.transaction(() => store.putToken(made.row))
  } finally {
    store.close()
  }
  process.stdout.write(`${made.text}\n`)
  return 0
}

/** The network's root key, when it is here; the first zone's directory holds it for all of them. */
function rootOf(dir: string, publicKey: Uint8Array): Root | null {
  const root = loadRoot(dir)
  if (root !== null && !same(root.public, publicKey)) throw new UsageError(`${dir}/root.json is another network's`)
  return root
}

/** `bridge1` becomes `bridge1.ntm.example`; a name already below the zone stays. */
function qualified(name: string, zone: string): string {
  const plain = name.toLowerCase().replace(/\.$/, '')
  return plain.endsWith(`.${zone}`) ? plain : `${plain}.${zone}`
}

const ROLES: Readonly<Record<string, number>> = {
  bridge: ROLE_NODE | ROLE_BRIDGE,
  tt: ROLE_TT,
  relay: ROLE_RELAY,
  node: ROLE_NODE,
}
