import { putRevoked } from '#coordinator/revocation.ts'
import { SqliteStore } from '#io/store-sqlite.ts'
import { options } from '../args.ts'
import { databaseFile, loadNetwork } from '../compose/network-dir.ts'
import { UsageError } from '../usage-error.ts'

/** `ntm member revoke`: shuts a box out for ever. Works beside a running coordinator, which follows within a second. */
export async function member(args: readonly string[]): Promise<number> {
  const [verb, ...rest] = args
  if (verb !== 'revoke') throw new UsageError('the only action is "revoke"')
  const o = options(rest, ['dir', 'name'], [])
  const { zone } = loadNetwork(o.dir)
  const plain = o.name.toLowerCase().replace(/\.$/, '')
  const name = plain.endsWith(`.${zone}`) ? plain : `${plain}.${zone}`
  const store = new SqliteStore(databaseFile(o.dir))
  try {
    const found = store.memberByName(name)
    if (found === null) throw new UsageError(`--name ${o.name}: no member of that name`)
    if (!found.revoked) putRevoked(store, found)
  } finally {
    store.close()
  }
  process.stdout.write(`${name} is revoked\n`)
  return 0
}
